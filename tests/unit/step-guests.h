/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * step-guests.h: the guests of step-test.c, each the claim of one or more
 * tests.  They end with OUT to port 0xf4.
 */
#ifndef STEP_GUESTS_H
#define STEP_GUESTS_H

#include <stdint.h>

static const uint8_t guest_pushf[] = {        /* at 0x10000 */
    0x9c,                                       /* pushf */
    0x58,                                       /* pop eax */
    0xa3, 0x00, 0x00, 0x02, 0x00,               /* mov 0x20000,eax */
    0x66, 0x9c,                                 /* pushfw */
    0x66, 0x8f, 0x05, 0x04, 0x00, 0x02, 0x00,   /* pop word 0x20004 */
    0x31, 0xc0,                                 /* xor eax,eax */
    0x9c,                                       /* pushf */
    0x9d,                                       /* popf */
    0xf9,                                       /* stc */
    0x9c,                                       /* pushf */
    0x8f, 0x05, 0x08, 0x00, 0x02, 0x00,         /* pop 0x20008 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_popf_if[] = {        /* at 0x10000 */
    0x68, 0x02, 0x02, 0x00, 0x00,               /* push 0x202 */
    0x9d,                                       /* popf */
    0x9c,                                       /* pushf */
    0x8f, 0x05, 0x00, 0x00, 0x02, 0x00,         /* pop 0x20000 */
    0xfa,                                       /* cli */
    0x68, 0x47, 0x02, 0x00, 0x00,               /* push 0x247 */
    0x9d,                                       /* popf */
    0xfa,                                       /* cli */
    0x9f,                                       /* lahf */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

/* saves the EFLAGS image of its frame at [0x20000 + 4 * n], n at 0x20ffc */
static const uint8_t guest_flags_handler[] = {        /* at 0x11000 */
    0x50,                                       /* push eax */
    0x53,                                       /* push ebx */
    0x8b, 0x1d, 0xfc, 0x0f, 0x02, 0x00,         /* mov ebx,0x20ffc */
    0x8b, 0x44, 0x24, 0x10,                     /* mov eax,[esp+0x10] */
    0x89, 0x04, 0x9d, 0x00, 0x00, 0x02, 0x00,   /* mov [ebx*4+0x20000],eax */
    0xff, 0x05, 0xfc, 0x0f, 0x02, 0x00,         /* inc 0x20ffc */
    0x9c,                                       /* pushf */
    0x8f, 0x04, 0x9d, 0x00, 0x01, 0x02, 0x00,   /* pop [ebx*4+0x20100] */
    0x5b,                                       /* pop ebx */
    0x58,                                       /* pop eax */
    0xcf,                                       /* iret */
};

/* as above for a fault without error code at a 2-byte instruction */
static const uint8_t guest_fault_handler[] = {        /* at 0x11100 */
    0x50,                                       /* push eax */
    0x53,                                       /* push ebx */
    0x8b, 0x1d, 0xfc, 0x0f, 0x02, 0x00,         /* mov ebx,0x20ffc */
    0x8b, 0x44, 0x24, 0x10,                     /* mov eax,[esp+0x10] */
    0x89, 0x04, 0x9d, 0x00, 0x00, 0x02, 0x00,   /* mov [ebx*4+0x20000],eax */
    0xff, 0x05, 0xfc, 0x0f, 0x02, 0x00,         /* inc 0x20ffc */
    0x5b,                                       /* pop ebx */
    0x58,                                       /* pop eax */
    0x83, 0x04, 0x24, 0x02,                     /* add [esp],0x2 */
    0xcf,                                       /* iret */
};

/* as above with an error code */
static const uint8_t guest_code_handler[] = {        /* at 0x11200 */
    0x50,                                       /* push eax */
    0x53,                                       /* push ebx */
    0x8b, 0x1d, 0xfc, 0x0f, 0x02, 0x00,         /* mov ebx,0x20ffc */
    0x8b, 0x44, 0x24, 0x14,                     /* mov eax,[esp+0x14] */
    0x89, 0x04, 0x9d, 0x00, 0x00, 0x02, 0x00,   /* mov [ebx*4+0x20000],eax */
    0xff, 0x05, 0xfc, 0x0f, 0x02, 0x00,         /* inc 0x20ffc */
    0x5b,                                       /* pop ebx */
    0x58,                                       /* pop eax */
    0x83, 0xc4, 0x04,                           /* add esp,0x4 */
    0x83, 0x04, 0x24, 0x02,                     /* add [esp],0x2 */
    0xcf,                                       /* iret */
};

/* PF: saves the EFLAGS image, makes the page of CR2 present and returns */
static const uint8_t guest_map_handler[] = {        /* at 0x11300 */
    0x50,                                       /* push eax */
    0x53,                                       /* push ebx */
    0x8b, 0x1d, 0xfc, 0x0f, 0x02, 0x00,         /* mov ebx,0x20ffc */
    0x8b, 0x44, 0x24, 0x14,                     /* mov eax,[esp+0x14] */
    0x89, 0x04, 0x9d, 0x00, 0x00, 0x02, 0x00,   /* mov [ebx*4+0x20000],eax */
    0xff, 0x05, 0xfc, 0x0f, 0x02, 0x00,         /* inc 0x20ffc */
    0x0f, 0x20, 0xd0,                           /* mov eax,cr2 */
    0xc1, 0xe8, 0x0c,                           /* shr eax,0xc */
    0x83, 0x0c, 0x85, 0x00, 0x60, 0x00, 0x00,
    0x01,                                       /* or [eax*4+0x6000],0x1 */
    0x0f, 0x20, 0xd0,                           /* mov eax,cr2 */
    0x0f, 0x01, 0x38,                           /* invlpg byte [eax] */
    0x5b,                                       /* pop ebx */
    0x58,                                       /* pop eax */
    0x83, 0xc4, 0x04,                           /* add esp,0x4 */
    0xcf,                                       /* iret */
};

static const uint8_t guest_int[] = {        /* at 0x10000 */
    0xcd, 0x30,                                 /* int 0x30 */
    0xf9,                                       /* stc */
    0xcd, 0x31,                                 /* int 0x31 */
    0xcc,                                       /* int3 */
    0x31, 0xc0,                                 /* xor eax,eax */
    0xce,                                       /* into */
    0xb8, 0xff, 0xff, 0xff, 0x7f,               /* mov eax,0x7fffffff */
    0x40,                                       /* inc eax */
    0xce,                                       /* into */
    0x90,                                       /* nop */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_faults[] = {        /* at 0x10000 */
    0x31, 0xc9,                                 /* xor ecx,ecx */
    0xf7, 0xf1,                                 /* div ecx */
    0x0f, 0x0b,                                 /* ud2 */
    0xb8, 0x77, 0x77, 0x00, 0x00,               /* mov eax,0x7777 */
    0x8e, 0xd8,                                 /* mov ds,eax */
    0xf7, 0xf1,                                 /* div ecx */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_pagefault[] = {        /* at 0x10000 */
    0xa1, 0x00, 0x00, 0x04, 0x00,               /* mov eax,0x40000 */
    0xc7, 0x05, 0xfe, 0x1f, 0x04, 0x00, 0x01,
    0x00, 0x00, 0x00,                           /* mov 0x41ffe,0x1 */
    0xff, 0x35, 0x00, 0x30, 0x04, 0x00,         /* push 0x43000 */
    0x8f, 0x05, 0x00, 0x40, 0x04, 0x00,         /* pop 0x44000 */
    0xff, 0x15, 0x00, 0x50, 0x04, 0x00,         /* call 0x45000 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_pagefault_tail[] = {        /* at 0x11800 */
    0xc3,                                       /* ret */
};

static const uint8_t guest_mov_ss[] = {        /* at 0x10000 */
    0x8c, 0xd0,                                 /* mov eax,ss */
    0x8e, 0xd0,                                 /* mov ss,eax */
    0xbc, 0x00, 0x00, 0x07, 0x00,               /* mov esp,0x70000 */
    0x8e, 0xd0,                                 /* mov ss,eax */
    0x9c,                                       /* pushf */
    0x50,                                       /* push eax */
    0x17,                                       /* pop ss */
    0x9c,                                       /* pushf */
    0x8e, 0xd0,                                 /* mov ss,eax */
    0xcd, 0x30,                                 /* int 0x30 */
    0x8e, 0xd0,                                 /* mov ss,eax */
    0xeb, 0x00,                                 /* jmp 0x10017 */
    0x8e, 0xd0,                                 /* mov ss,eax */
    0xf8,                                       /* clc */
    0x8e, 0xd0,                                 /* mov ss,eax */
    0x72, 0x05,                                 /* jb 0x10023 */
    0x8e, 0xd0,                                 /* mov ss,eax */
    0x73, 0x01,                                 /* jae 0x10023 */
    0x90,                                       /* nop */
    0x8e, 0xd0,                                 /* mov ss,eax */
    0xe6, 0x10,                                 /* out 0x10,al */
    0x8e, 0xd0,                                 /* mov ss,eax */
    0xe8, 0x00, 0x00, 0x00, 0x00,               /* call 0x1002e */
    0x90,                                       /* nop */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_sti[] = {        /* at 0x10000 */
    0xfb,                                       /* sti */
    0x90,                                       /* nop */
    0xfa,                                       /* cli */
    0xfb,                                       /* sti */
    0x9c,                                       /* pushf */
    0xfa,                                       /* cli */
    0xfb,                                       /* sti */
    0xfa,                                       /* cli */
    0x58,                                       /* pop eax */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_hlt[] = {        /* at 0x10000 */
    0xf4,                                       /* hlt */
    0x9c,                                       /* pushf */
    0x8f, 0x05, 0x00, 0x00, 0x02, 0x00,         /* pop 0x20000 */
    0xeb, 0x00,                                 /* jmp 0x1000a */
    0xf4,                                       /* hlt */
    0xcd, 0x30,                                 /* int 0x30 */
    0xfb,                                       /* sti */
    0xf4,                                       /* hlt */
    0xfa,                                       /* cli */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_pio[] = {        /* at 0x10000 */
    0xe4, 0x10,                                 /* in al,0x10 */
    0xe5, 0x11,                                 /* in eax,0x11 */
    0xba, 0x12, 0x00, 0x00, 0x00,               /* mov edx,0x12 */
    0x66, 0xed,                                 /* in ax,dx */
    0xe6, 0x13,                                 /* out 0x13,al */
    0xef,                                       /* out dx,eax */
    0x9c,                                       /* pushf */
    0x8f, 0x05, 0x00, 0x00, 0x02, 0x00,         /* pop 0x20000 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_pio_string[] = {        /* at 0x10000 */
    0xbf, 0x00, 0x00, 0x02, 0x00,               /* mov edi,0x20000 */
    0xbe, 0x00, 0x00, 0x02, 0x00,               /* mov esi,0x20000 */
    0xba, 0x12, 0x00, 0x00, 0x00,               /* mov edx,0x12 */
    0x6c,                                       /* ins byte [edi],dx */
    0x6d,                                       /* ins [edi],dx */
    0x6e,                                       /* outs dx,byte [esi] */
    0x66, 0x6f,                                 /* outs dx,word [esi] */
    0xb9, 0x07, 0x00, 0x00, 0x00,               /* mov ecx,0x7 */
    0xf3, 0x6c,                                 /* rep ins byte [edi],dx */
    0xb9, 0x03, 0x00, 0x00, 0x00,               /* mov ecx,0x3 */
    0xf3, 0x6d,                                 /* rep ins [edi],dx */
    0xb9, 0x09, 0x00, 0x00, 0x00,               /* mov ecx,0x9 */
    0xf3, 0x6e,                                 /* rep outs dx,byte [esi] */
    0xf3, 0x6e,                                 /* rep outs dx,byte [esi] */
    0x9c,                                       /* pushf */
    0x8f, 0x05, 0x00, 0x01, 0x02, 0x00,         /* pop 0x20100 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_mmio[] = {        /* at 0x10000 */
    0xa1, 0x00, 0x00, 0x30, 0x00,               /* mov eax,0x300000 */
    0xa3, 0x10, 0x00, 0x30, 0x00,               /* mov 0x300010,eax */
    0xc6, 0x05, 0x21, 0x00, 0x30, 0x00, 0x05,   /* mov byte 0x300021,0x5 */
    0x66, 0xa3, 0xfe, 0x0f, 0x30, 0x00,         /* mov 0x300ffe,ax */
    0x9c,                                       /* pushf */
    0x01, 0x05, 0x00, 0x01, 0x30, 0x00,         /* add 0x300100,eax */
    0x87, 0x05, 0x04, 0x01, 0x30, 0x00,         /* xchg 0x300104,eax */
    0xff, 0x35, 0x08, 0x01, 0x30, 0x00,         /* push 0x300108 */
    0x8f, 0x05, 0x0c, 0x01, 0x30, 0x00,         /* pop 0x30010c */
    0xbf, 0x00, 0x00, 0x02, 0x00,               /* mov edi,0x20000 */
    0xbe, 0x00, 0x02, 0x30, 0x00,               /* mov esi,0x300200 */
    0xa5,                                       /* movs [edi],[esi] */
    0xa5,                                       /* movs [edi],[esi] */
    0xbe, 0x00, 0x00, 0x02, 0x00,               /* mov esi,0x20000 */
    0xbf, 0x00, 0x03, 0x30, 0x00,               /* mov edi,0x300300 */
    0xa5,                                       /* movs [edi],[esi] */
    0x9c,                                       /* pushf */
    0x8f, 0x05, 0x10, 0x00, 0x02, 0x00,         /* pop 0x20010 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_mmio_rep[] = {        /* at 0x10000 */
    0xbf, 0x00, 0x00, 0x02, 0x00,               /* mov edi,0x20000 */
    0xbe, 0x00, 0x02, 0x30, 0x00,               /* mov esi,0x300200 */
    0xb9, 0x05, 0x00, 0x00, 0x00,               /* mov ecx,0x5 */
    0xf3, 0xa5,                                 /* rep movs [edi],[esi] */
    0xbe, 0x00, 0x00, 0x02, 0x00,               /* mov esi,0x20000 */
    0xbf, 0x00, 0x03, 0x30, 0x00,               /* mov edi,0x300300 */
    0xb9, 0x05, 0x00, 0x00, 0x00,               /* mov ecx,0x5 */
    0xf3, 0xa5,                                 /* rep movs [edi],[esi] */
    0xbf, 0x00, 0x04, 0x30, 0x00,               /* mov edi,0x300400 */
    0xb9, 0x03, 0x00, 0x00, 0x00,               /* mov ecx,0x3 */
    0x66, 0xf3, 0xab,                           /* rep stos word [edi],ax */
    0xbe, 0x00, 0x05, 0x30, 0x00,               /* mov esi,0x300500 */
    0xbf, 0x00, 0x06, 0x30, 0x00,               /* mov edi,0x300600 */
    0xb9, 0x02, 0x00, 0x00, 0x00,               /* mov ecx,0x2 */
    0xf3, 0xa5,                                 /* rep movs [edi],[esi] */
    0x9c,                                       /* pushf */
    0x8f, 0x05, 0x20, 0x00, 0x02, 0x00,         /* pop 0x20020 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_rep[] = {        /* at 0x10000 */
    0xbf, 0x00, 0x00, 0x02, 0x00,               /* mov edi,0x20000 */
    0xb0, 0x41,                                 /* mov al,0x41 */
    0xb9, 0x0a, 0x00, 0x00, 0x00,               /* mov ecx,0xa */
    0xf3, 0xaa,                                 /* rep stos byte [edi],al */
    0xbe, 0x00, 0x00, 0x02, 0x00,               /* mov esi,0x20000 */
    0xbf, 0x09, 0x00, 0x02, 0x00,               /* mov edi,0x20009 */
    0xb9, 0x09, 0x00, 0x00, 0x00,               /* mov ecx,0x9 */
    0xfd,                                       /* std */
    0xf3, 0xa4,                                 /* rep movs byte */
    0xfc,                                       /* cld */
    0xbe, 0x00, 0x00, 0x02, 0x00,               /* mov esi,0x20000 */
    0xbf, 0x10, 0x00, 0x02, 0x00,               /* mov edi,0x20010 */
    0xb9, 0x08, 0x00, 0x00, 0x00,               /* mov ecx,0x8 */
    0xf3, 0xa6,                                 /* repz cmps byte */
    0xbf, 0x00, 0x00, 0x02, 0x00,               /* mov edi,0x20000 */
    0xb9, 0x1e, 0x00, 0x00, 0x00,               /* mov ecx,0x1e */
    0xf3, 0xae,                                 /* repz scas al,byte [edi] */
    0x31, 0xc9,                                 /* xor ecx,ecx */
    0xf3, 0xa4,                                 /* rep movs byte */
    0xb9, 0x04, 0x00, 0x00, 0x00,               /* mov ecx,0x4 */
    0xf3, 0xac,                                 /* rep lods al,byte [esi] */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_rep_fault[] = {        /* at 0x10000 */
    0xbf, 0xf8, 0x0f, 0x04, 0x00,               /* mov edi,0x40ff8 */
    0xbe, 0x00, 0x00, 0x01, 0x00,               /* mov esi,0x10000 */
    0xb9, 0x05, 0x00, 0x00, 0x00,               /* mov ecx,0x5 */
    0xf3, 0xa5,                                 /* rep movs [edi],[esi] */
    0x9c,                                       /* pushf */
    0x8f, 0x05, 0x00, 0x02, 0x02, 0x00,         /* pop 0x20200 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_selfmod[] = {        /* at 0x10000 */
    0xc6, 0x05, 0x08, 0x00, 0x01, 0x00, 0x42,   /* mov byte 0x10008,0x42 */
    0xb0, 0x11,                                 /* mov al,0x11 */
    0xa2, 0x00, 0x00, 0x02, 0x00,               /* mov 0x20000,al */
    0xc7, 0x05, 0x18, 0x00, 0x01, 0x00, 0x42,
    0x90, 0x90, 0x90,                           /* mov 0x10018,0x90909042 */
    0x49,                                       /* dec ecx */
    0x49,                                       /* dec ecx */
    0x49,                                       /* dec ecx */
    0x49,                                       /* dec ecx */
    0x90,                                       /* nop */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_crossing[] = {        /* at 0x3fffd */
    0xb0, 0x11,                                 /* mov al,0x11 */
    0xb8, 0x78, 0x56, 0x34, 0x12,               /* mov eax,0x12345678 */
    0x68, 0x50, 0x40, 0x30, 0x20,               /* push 0x20304050 */
    0x5b,                                       /* pop ebx */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_branches[] = {        /* at 0x10000 */
    0xb9, 0x05, 0x00, 0x00, 0x00,               /* mov ecx,0x5 */
    0xf6, 0xc1, 0x01,                           /* test cl,0x1 */
    0x74, 0x01,                                 /* je 0x1000b */
    0x90,                                       /* nop */
    0xe2, 0xf8,                                 /* loop 0x10005 */
    0xe3, 0x01,                                 /* jecxz 0x10010 */
    0x90,                                       /* nop */
    0xe8, 0x02, 0x00, 0x00, 0x00,               /* call 0x10017 */
    0xeb, 0x05,                                 /* jmp 0x1001c */
    0x39, 0xc0,                                 /* cmp eax,eax */
    0x75, 0xf5,                                 /* jne 0x10010 */
    0xc3,                                       /* ret */
    0xb9, 0x03, 0x00, 0x00, 0x00,               /* mov ecx,0x3 */
    0xe2, 0xfe,                                 /* loop 0x10021 */
    0xba, 0x2b, 0x00, 0x01, 0x00,               /* mov edx,0x1002b */
    0xff, 0xe2,                                 /* jmp edx */
    0x90,                                       /* nop */
    0x68, 0x32, 0x00, 0x01, 0x00,               /* push 0x10032 */
    0xc3,                                       /* ret */
    0x90,                                       /* nop */
    0xea, 0x3a, 0x00, 0x01, 0x00, 0x08, 0x00,   /* jmp 0x8:0x1003a */
    0x90,                                       /* nop */
    0xba, 0x50, 0x00, 0x01, 0x00,               /* mov edx,0x10050 */
    0xff, 0xd2,                                 /* call edx */
    0x0f, 0x85, 0x00, 0x00, 0x00, 0x00,         /* jne 0x10047 */
    0x0f, 0x84, 0x01, 0x00, 0x00, 0x00,         /* je 0x1004e */
    0x90,                                       /* nop */
    0xeb, 0x01,                                 /* jmp 0x10051 */
    0xc3,                                       /* ret */
    0x90,                                       /* nop */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_ring3[] = {        /* at 0x10000 */
    0xb8, 0x28, 0x00, 0x00, 0x00,               /* mov eax,0x28 */
    0x0f, 0x00, 0xd8,                           /* ltr ax */
    0x6a, 0x23,                                 /* push 0x23 */
    0x68, 0x00, 0x00, 0x09, 0x00,               /* push 0x90000 */
    0x68, 0x02, 0x30, 0x00, 0x00,               /* push 0x3002 */
    0x6a, 0x1b,                                 /* push 0x1b */
    0x68, 0x1c, 0x00, 0x01, 0x00,               /* push 0x1001c */
    0xcf,                                       /* iret */
    0xcd, 0x80,                                 /* int 0x80 */
    0x9c,                                       /* pushf */
    0x8f, 0x05, 0x00, 0x02, 0x02, 0x00,         /* pop 0x20200 */
    0xb8, 0x30, 0x00, 0x00, 0x00,               /* mov eax,0x30 */
    0xcd, 0x80,                                 /* int 0x80 */
    0x0f, 0x0b,                                 /* ud2 */
    0x72, 0x00,                                 /* jb 0x10030 */
    0x90,                                       /* nop */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_sysenter[] = {        /* at 0x10000 */
    0xb9, 0x00, 0x00, 0x09, 0x00,               /* mov ecx,0x90000 */
    0xba, 0x0d, 0x00, 0x01, 0x00,               /* mov edx,0x1000d */
    0x0f, 0x34,                                 /* sysenter */
    0x90,                                       /* nop */
    0x9c,                                       /* pushf */
    0x8f, 0x05, 0x00, 0x02, 0x02, 0x00,         /* pop 0x20200 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_sysenter_entry[] = {        /* at 0x11400 */
    0x9c,                                       /* pushf */
    0x8f, 0x05, 0x10, 0x02, 0x02, 0x00,         /* pop 0x20210 */
    0xfb,                                       /* sti */
    0x0f, 0x35,                                 /* sysexit */
};

static const uint8_t guest_iret[] = {        /* at 0x10000 */
    0x9c,                                       /* pushf */
    0x6a, 0x08,                                 /* push 0x8 */
    0x68, 0x0a, 0x00, 0x01, 0x00,               /* push 0x1000a */
    0xcf,                                       /* iret */
    0x90,                                       /* nop */
    0x68, 0x46, 0x02, 0x00, 0x00,               /* push 0x246 */
    0x6a, 0x08,                                 /* push 0x8 */
    0x68, 0x18, 0x00, 0x01, 0x00,               /* push 0x10018 */
    0xcf,                                       /* iret */
    0x90,                                       /* nop */
    0x9c,                                       /* pushf */
    0x8f, 0x05, 0x00, 0x00, 0x02, 0x00,         /* pop 0x20000 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_fpu[] = {        /* at 0x10000 */
    0xdb, 0xe3,                                 /* fninit */
    0xd9, 0xe8,                                 /* fld1 */
    0xd9, 0xeb,                                 /* fldpi */
    0xde, 0xc1,                                 /* faddp st(1),st */
    0xdd, 0x1d, 0x00, 0x00, 0x02, 0x00,         /* fstp qword 0x20000 */
    0x0f, 0x28, 0xc8,                           /* movaps xmm1,xmm0 */
    0x0f, 0x11, 0x0d, 0x10, 0x00, 0x02, 0x00,   /* movups 0x20010,xmm1 */
    0x9b,                                       /* fwait */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_fpu_ts[] = {        /* at 0x10000 */
    0x0f, 0x20, 0xc0,                           /* mov eax,cr0 */
    0x83, 0xc8, 0x08,                           /* or eax,0x8 */
    0x0f, 0x22, 0xc0,                           /* mov cr0,eax */
    0xd9, 0xe8,                                 /* fld1 */
    0xdd, 0x1d, 0x40, 0x00, 0x02, 0x00,         /* fstp qword 0x20040 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_clts_handler[] = {        /* at 0x11500 */
    0x50,                                       /* push eax */
    0x8b, 0x44, 0x24, 0x0c,                     /* mov eax,[esp+0xc] */
    0xa3, 0x00, 0x00, 0x02, 0x00,               /* mov 0x20000,eax */
    0x0f, 0x06,                                 /* clts */
    0x58,                                       /* pop eax */
    0xcf,                                       /* iret */
};

static const uint8_t guest_system[] = {        /* at 0x10000 */
    0x31, 0xc0,                                 /* xor eax,eax */
    0x0f, 0xa2,                                 /* cpuid */
    0xb9, 0x74, 0x01, 0x00, 0x00,               /* mov ecx,0x174 */
    0x0f, 0x32,                                 /* rdmsr */
    0x0f, 0x01, 0x0d, 0x00, 0x00, 0x02, 0x00,   /* sidt 0x20000 */
    0x0f, 0x01, 0x05, 0x10, 0x00, 0x02, 0x00,   /* sgdt 0x20010 */
    0x0f, 0x01, 0x1d, 0x00, 0x00, 0x02, 0x00,   /* lidt 0x20000 */
    0x66, 0x0f, 0x01, 0xe0,                     /* smsw ax */
    0x0f, 0x20, 0xc0,                           /* mov eax,cr0 */
    0x0f, 0x22, 0xc0,                           /* mov cr0,eax */
    0x0f, 0x20, 0xd8,                           /* mov eax,cr3 */
    0x0f, 0x22, 0xd8,                           /* mov cr3,eax */
    0xb8, 0x28, 0x00, 0x00, 0x00,               /* mov eax,0x28 */
    0x0f, 0x00, 0xc8,                           /* str eax */
    0x0f, 0x09,                                 /* wbinvd */
    0x9c,                                       /* pushf */
    0x8f, 0x05, 0x20, 0x00, 0x02, 0x00,         /* pop 0x20020 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_segments[] = {        /* at 0x10000 */
    0x8c, 0xd8,                                 /* mov eax,ds */
    0x8e, 0xc0,                                 /* mov es,eax */
    0x1e,                                       /* push ds */
    0x0f, 0xa1,                                 /* pop fs */
    0xc7, 0x05, 0x00, 0x00, 0x02, 0x00, 0x00,
    0x10, 0x02, 0x00,                           /* mov 0x20000,0x21000 */
    0x66, 0xc7, 0x05, 0x04, 0x00, 0x02, 0x00,
    0x10, 0x00,                                 /* mov word 0x20004,0x10 */
    0x0f, 0xb2, 0x25, 0x00, 0x00, 0x02, 0x00,   /* lss esp,0x20000 */
    0x9c,                                       /* pushf */
    0xc4, 0x3d, 0x00, 0x00, 0x02, 0x00,         /* les edi,0x20000 */
    0x0f, 0xb5, 0x3d, 0x00, 0x00, 0x02, 0x00,   /* lgs edi,0x20000 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_code16[] = {        /* at 0x10000 */
    0xea, 0x07, 0x00, 0x00, 0x00, 0x30, 0x00,   /* jmp 0x30:0x7 */
    0x9c,                                       /* pushf */
    0x58,                                       /* pop ax */
    0xb9, 0x03, 0x00,                           /* mov cx,0x3 */
    0xe2, 0xfe,                                 /* loop 0x1000c */
    0xeb, 0x01,                                 /* jmp 0x10011 */
    0x90,                                       /* nop */
    0xcd, 0x30,                                 /* int 0x30 */
    0xe8, 0x09, 0x00,                           /* call 0x1001f */
    0x90,                                       /* nop */
    0x66, 0xea, 0x20, 0x00, 0x01, 0x00, 0x08,
    0x00,                                       /* jmp 0x8:0x10020 */
    0xc3,                                       /* ret */
    0x9c,                                       /* pushf */
    0x8f, 0x05, 0x00, 0x02, 0x02, 0x00,         /* pop 0x20200 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_real[] = {        /* at 0x0 */
    0x9c,                                       /* pushf */
    0x58,                                       /* pop ax */
    0x31, 0xc0,                                 /* xor ax,ax */
    0x8e, 0xd0,                                 /* mov ss,ax */
    0xbc, 0x00, 0xff,                           /* mov sp,0xff00 */
    0xcd, 0x30,                                 /* int 0x30 */
    0xb9, 0x00, 0x01,                           /* mov cx,0x100 */
    0x31, 0xdb,                                 /* xor bx,bx */
    0xf6, 0xf3,                                 /* div bl */
    0xfb,                                       /* sti */
    0x90,                                       /* nop */
    0xfa,                                       /* cli */
    0xe4, 0x10,                                 /* in al,0x10 */
    0xe6, 0x11,                                 /* out 0x11,al */
    0x9a, 0x20, 0x00, 0x00, 0x10,               /* call 0x1000:0x20 */
    0xeb, 0x01,                                 /* jmp 0x21 */
    0xcb,                                       /* retf */
    0xb9, 0x03, 0x00,                           /* mov cx,0x3 */
    0xe2, 0xfe,                                 /* loop 0x24 */
    0xe3, 0x01,                                 /* jcxz 0x29 */
    0x90,                                       /* nop */
    0x9c,                                       /* pushf */
    0x5a,                                       /* pop dx */
    0xce,                                       /* into */
    0xcc,                                       /* int3 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_real_handler[] = {        /* at 0x11600 */
    0x55,                                       /* push bp */
    0x89, 0xe5,                                 /* mov bp,sp */
    0x50,                                       /* push ax */
    0x8b, 0x46, 0x06,                           /* mov ax,word [bp+0x6] */
    0x2e, 0xa3, 0x00, 0x02,                     /* mov cs:0x200,ax */
    0x58,                                       /* pop ax */
    0x5d,                                       /* pop bp */
    0xcf,                                       /* iret */
};

static const uint8_t guest_real_fault_handler[] = {        /* at 0x11700 */
    0x55,                                       /* push bp */
    0x89, 0xe5,                                 /* mov bp,sp */
    0x50,                                       /* push ax */
    0x8b, 0x46, 0x06,                           /* mov ax,word [bp+0x6] */
    0x2e, 0xa3, 0x04, 0x02,                     /* mov cs:0x204,ax */
    0x83, 0x46, 0x02, 0x02,                     /* add word [bp+0x2],0x2 */
    0x58,                                       /* pop ax */
    0x5d,                                       /* pop bp */
    0xcf,                                       /* iret */
};

#endif /* STEP_GUESTS_H */
