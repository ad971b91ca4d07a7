/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * step-long-guests.h: the guests of step-test.c in long mode; as those of
 * step-guests.h.
 */
#ifndef STEP_LONG_GUESTS_H
#define STEP_LONG_GUESTS_H

#include <stdint.h>

static const uint8_t guest_long_flags[] = {        /* at 0x10000 */
    0x9c,                                       /* pushf */
    0x58,                                       /* pop rax */
    0x48, 0x89, 0x04, 0x25, 0x00, 0x00, 0x02,
    0x00,                                       /* mov 0x20000,rax */
    0x66, 0x9c,                                 /* pushfw */
    0x66, 0x8f, 0x04, 0x25, 0x08, 0x00, 0x02,
    0x00,                                       /* pop word 0x20008 */
    0x45, 0x31, 0xc0,                           /* xor r8d,r8d */
    0x9c,                                       /* pushf */
    0x9d,                                       /* popf */
    0xf9,                                       /* stc */
    0x9c,                                       /* pushf */
    0x8f, 0x04, 0x25, 0x10, 0x00, 0x02, 0x00,   /* pop 0x20010 */
    0x68, 0x02, 0x02, 0x00, 0x00,               /* push 0x202 */
    0x9d,                                       /* popf */
    0x9c,                                       /* pushf */
    0x41, 0x59,                                 /* pop r9 */
    0xfa,                                       /* cli */
    0x8c, 0xd0,                                 /* mov eax,ss */
    0x8e, 0xd0,                                 /* mov ss,eax */
    0x9c,                                       /* pushf */
    0x41, 0x5a,                                 /* pop r10 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

/* saves the RFLAGS image of its frame at [0x20000 + 8 * n], n at 0x20ffc */
static const uint8_t guest_long_flags_handler[] = {        /* at 0x11000 */
    0x50,                                       /* push rax */
    0x53,                                       /* push rbx */
    0x8b, 0x1c, 0x25, 0xfc, 0x0f, 0x02, 0x00,   /* mov ebx,0x20ffc */
    0x48, 0x8b, 0x44, 0x24, 0x20,               /* mov rax,[rsp+0x20] */
    0x48, 0x89, 0x04, 0xdd, 0x00, 0x00, 0x02,
    0x00,                                       /* mov [rbx*8+0x20000],rax */
    0xff, 0x04, 0x25, 0xfc, 0x0f, 0x02, 0x00,   /* inc 0x20ffc */
    0x9c,                                       /* pushf */
    0x8f, 0x04, 0xdd, 0x00, 0x08, 0x02, 0x00,   /* pop [rbx*8+0x20800] */
    0x5b,                                       /* pop rbx */
    0x58,                                       /* pop rax */
    0x48, 0xcf,                                 /* iretq */
};

/* as above for a fault without error code at a 3-byte instruction */
static const uint8_t guest_long_fault_handler[] = {        /* at 0x11100 */
    0x50,                                       /* push rax */
    0x53,                                       /* push rbx */
    0x8b, 0x1c, 0x25, 0xfc, 0x0f, 0x02, 0x00,   /* mov ebx,0x20ffc */
    0x48, 0x8b, 0x44, 0x24, 0x20,               /* mov rax,[rsp+0x20] */
    0x48, 0x89, 0x04, 0xdd, 0x00, 0x00, 0x02,
    0x00,                                       /* mov [rbx*8+0x20000],rax */
    0xff, 0x04, 0x25, 0xfc, 0x0f, 0x02, 0x00,   /* inc 0x20ffc */
    0x5b,                                       /* pop rbx */
    0x58,                                       /* pop rax */
    0x48, 0x83, 0x04, 0x24, 0x03,               /* add [rsp],0x3 */
    0x48, 0xcf,                                 /* iretq */
};

/* as above with an error code */
static const uint8_t guest_long_code_handler[] = {        /* at 0x11200 */
    0x50,                                       /* push rax */
    0x53,                                       /* push rbx */
    0x8b, 0x1c, 0x25, 0xfc, 0x0f, 0x02, 0x00,   /* mov ebx,0x20ffc */
    0x48, 0x8b, 0x44, 0x24, 0x28,               /* mov rax,[rsp+0x28] */
    0x48, 0x89, 0x04, 0xdd, 0x00, 0x00, 0x02,
    0x00,                                       /* mov [rbx*8+0x20000],rax */
    0xff, 0x04, 0x25, 0xfc, 0x0f, 0x02, 0x00,   /* inc 0x20ffc */
    0x5b,                                       /* pop rbx */
    0x58,                                       /* pop rax */
    0x48, 0x83, 0xc4, 0x08,                     /* add rsp,0x8 */
    0x48, 0x83, 0x04, 0x24, 0x03,               /* add [rsp],0x3 */
    0x48, 0xcf,                                 /* iretq */
};

/* PF: saves the RFLAGS image, makes the page of CR2 present and returns */
static const uint8_t guest_long_map_handler[] = {        /* at 0x11300 */
    0x50,                                       /* push rax */
    0x53,                                       /* push rbx */
    0x8b, 0x1c, 0x25, 0xfc, 0x0f, 0x02, 0x00,   /* mov ebx,0x20ffc */
    0x48, 0x8b, 0x44, 0x24, 0x28,               /* mov rax,[rsp+0x28] */
    0x48, 0x89, 0x04, 0xdd, 0x00, 0x00, 0x02,
    0x00,                                       /* mov [rbx*8+0x20000],rax */
    0xff, 0x04, 0x25, 0xfc, 0x0f, 0x02, 0x00,   /* inc 0x20ffc */
    0x0f, 0x20, 0xd0,                           /* mov rax,cr2 */
    0xc1, 0xe8, 0x0c,                           /* shr eax,0xc */
    0x80, 0x0c, 0xc5, 0x00, 0xa0, 0x00, 0x00,
    0x01,                                       /* or byte [rax*8+0xa000],0x1 */
    0x0f, 0x20, 0xd0,                           /* mov rax,cr2 */
    0x0f, 0x01, 0x38,                           /* invlpg byte [rax] */
    0x5b,                                       /* pop rbx */
    0x58,                                       /* pop rax */
    0x48, 0x83, 0xc4, 0x08,                     /* add rsp,0x8 */
    0x48, 0xcf,                                 /* iretq */
};

static const uint8_t guest_long_faults[] = {        /* at 0x10000 */
    0xcd, 0x30,                                 /* int 0x30 */
    0xcc,                                       /* int3 */
    0x31, 0xc9,                                 /* xor ecx,ecx */
    0x48, 0xf7, 0xf1,                           /* div rcx */
    0x0f, 0x0b,                                 /* ud2 */
    0x90,                                       /* nop */
    0x48, 0xbf, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x80,                           /* mov rdi,0x8000000000000000 */
    0x48, 0x8b, 0x07,                           /* mov rax,[rdi] */
    0x48, 0x8b, 0x34, 0x25, 0x00, 0x00, 0x04,
    0x00,                                       /* mov rsi,0x40000 */
    0xff, 0x34, 0x25, 0x00, 0x10, 0x04, 0x00,   /* push 0x41000 */
    0x48, 0x8d, 0x1d, 0x02, 0x00, 0x00, 0x00,   /* lea rbx,[0x10030] */
    0xff, 0xe3,                                 /* jmp rbx */
    0x48, 0xc7, 0xc1, 0x02, 0x00, 0x00, 0x00,   /* mov rcx,0x2 */
    0xe2, 0xfe,                                 /* loop 0x10037 */
    0x48, 0xc7, 0xc7, 0xf8, 0x2f, 0x04, 0x00,   /* mov rdi,0x42ff8 */
    0xb9, 0x03, 0x00, 0x00, 0x00,               /* mov ecx,0x3 */
    0xf3, 0x48, 0xab,                           /* rep stos es:[rdi],rax */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_long_iretq[] = {        /* at 0x10000 */
    0x48, 0x89, 0xe1,                           /* mov rcx,rsp */
    0x6a, 0x48,                                 /* push 0x48 */
    0x51,                                       /* push rcx */
    0x9c,                                       /* pushf */
    0x6a, 0x40,                                 /* push 0x40 */
    0x48, 0x8d, 0x05, 0x03, 0x00, 0x00, 0x00,   /* lea rax,[0x10013] */
    0x50,                                       /* push rax */
    0x48, 0xcf,                                 /* iretq */
    0x6a, 0x40,                                 /* push 0x40 */
    0x48, 0x8d, 0x05, 0x03, 0x00, 0x00, 0x00,   /* lea rax,[0x1001f] */
    0x50,                                       /* push rax */
    0x48, 0xcb,                                 /* retfq */
    0x48, 0x89, 0xe1,                           /* mov rcx,rsp */
    0x6a, 0x48,                                 /* push 0x48 */
    0x51,                                       /* push rcx */
    0x68, 0x47, 0x02, 0x00, 0x00,               /* push 0x247 */
    0x6a, 0x40,                                 /* push 0x40 */
    0x48, 0x8d, 0x05, 0x03, 0x00, 0x00, 0x00,   /* lea rax,[0x10036] */
    0x50,                                       /* push rax */
    0x48, 0xcf,                                 /* iretq */
    0xfa,                                       /* cli */
    0x9c,                                       /* pushf */
    0x5a,                                       /* pop rdx */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_long_syscall[] = {        /* at 0x10000 */
    0x6a, 0x5b,                                 /* push 0x5b */
    0x68, 0x00, 0x00, 0x09, 0x00,               /* push 0x90000 */
    0x68, 0x02, 0x32, 0x00, 0x00,               /* push 0x3202 */
    0x6a, 0x63,                                 /* push 0x63 */
    0x48, 0x8d, 0x05, 0x03, 0x00, 0x00, 0x00,   /* lea rax,[0x10018] */
    0x50,                                       /* push rax */
    0x48, 0xcf,                                 /* iretq */
    0xf9,                                       /* stc */
    0x0f, 0x05,                                 /* syscall */
    0x9c,                                       /* pushf */
    0x58,                                       /* pop rax */
    0x48, 0x89, 0x04, 0x25, 0x10, 0x00, 0x02,
    0x00,                                       /* mov 0x20010,rax */
    0x4c, 0x89, 0x1c, 0x25, 0x18, 0x00, 0x02,
    0x00,                                       /* mov 0x20018,r11 */
    0xcd, 0x30,                                 /* int 0x30 */
    0x9c,                                       /* pushf */
    0x58,                                       /* pop rax */
    0xfd,                                       /* std */
    0x0f, 0x05,                                 /* syscall */
    0xfc,                                       /* cld */
    0xba, 0x02, 0x00, 0x00, 0x00,               /* mov edx,0x2 */
    0x0f, 0x05,                                 /* syscall */
    0xff, 0xca,                                 /* dec edx */
    0x75, 0xfa,                                 /* jne 0x1003a */
    0xfa,                                       /* cli */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

/* ends in a page that is there */
static const uint8_t guest_long_syscall_entry[] = {        /* at 0x11400 */
    0x48, 0x89, 0x0c, 0x25, 0x00, 0x01, 0x02,
    0x00,                                       /* mov 0x20100,rcx */
    0x4c, 0x89, 0x1c, 0x25, 0x08, 0x01, 0x02,
    0x00,                                       /* mov 0x20108,r11 */
    0x0f, 0x01, 0xf8,                           /* swapgs */
    0x49, 0xff, 0xc0,                           /* inc r8 */
    0x0f, 0x01, 0xf8,                           /* swapgs */
    0x48, 0x0f, 0x07,                           /* sysretq */
};

static const uint8_t guest_long_compat[] = {        /* at 0x10000 */
    0x6a, 0x08,                                 /* push 0x8 */
    0x48, 0x8d, 0x05, 0x03, 0x00, 0x00, 0x00,   /* lea rax,[0x1000c] */
    0x50,                                       /* push rax */
    0x48, 0xcb,                                 /* retfq */
    0x40,                                       /* inc eax */
    0x9c,                                       /* pushf */
    0x5a,                                       /* pop edx */
    0xcd, 0x30,                                 /* int 0x30 */
    0xb9, 0x02, 0x00, 0x00, 0x00,               /* mov ecx,0x2 */
    0xe2, 0xfe,                                 /* loop 0x10016 */
    0xea, 0x1f, 0x00, 0x01, 0x00, 0x40, 0x00,   /* jmp 0x40:0x1001f */
    0x49, 0xff, 0xc0,                           /* inc r8 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

/* not all CPUs have SYSCALL here */
static const uint8_t guest_long_syscall32[] = {        /* at 0x10000 */
    0x6a, 0x5b,                                 /* push 0x5b */
    0x68, 0x00, 0x00, 0x09, 0x00,               /* push 0x90000 */
    0x68, 0x02, 0x32, 0x00, 0x00,               /* push 0x3202 */
    0x6a, 0x53,                                 /* push 0x53 */
    0x68, 0x15, 0x00, 0x01, 0x00,               /* push 0x10015 */
    0x48, 0xcf,                                 /* iretq */
    0x42,                                       /* inc edx */
    0x0f, 0x05,                                 /* syscall */
    0x9c,                                       /* pushf */
    0x58,                                       /* pop eax */
    0xcd, 0x30,                                 /* int 0x30 */
    0xe6, 0xf4,                                 /* out 0xf4,al */
};

static const uint8_t guest_long_syscall32_entry[] = {        /* at 0x11400 */
    0x48, 0x89, 0x0c, 0x25, 0x00, 0x01, 0x02,
    0x00,                                       /* mov 0x20100,rcx */
    0x85, 0xd2,                                 /* test edx,edx */
    0x74, 0x03,                                 /* je 0x1140f */
    0x49, 0xff, 0xc0,                           /* inc r8 */
    0x0f, 0x07,                                 /* sysretd */
};

/* UD: who has no SYSCALL: as much as the entry does */
static const uint8_t guest_long_syscall32_ud[] = {        /* at 0x11500 */
    0x85, 0xd2,                                 /* test edx,edx */
    0x74, 0x03,                                 /* je 0x11507 */
    0x49, 0xff, 0xc0,                           /* inc r8 */
    0x48, 0x83, 0x04, 0x24, 0x02,               /* add [rsp],0x2 */
    0x48, 0xcf,                                 /* iretq */
};

#endif /* STEP_LONG_GUESTS_H */
