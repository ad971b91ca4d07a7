/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-apic-test.c: a guest of the local APIC's: its timer's interrupt sends
 * one to the guest itself, the PIT's comes through the I/O APIC, and some have
 * to wait for the task priority.
 */
#include "qemu/osdep.h"
#include "pbkvm-boot.h"

#define LE32(n) (n) & 0xff, (n) >> 8 & 0xff, (n) >> 16 & 0xff, (n) >> 24

/* movl $value,%es:at(%edi) */
#define PUT(at, value) 0x26, 0x67, 0x66, 0xc7, 0x87, LE32(at), LE32(value)
/* movl $address,%edi */
#define BASE(address) 0x66, 0xbf, LE32(address)

#define IO_APIC  0xfec00000u
#define IO_DATA  0x10u
#define IO_PIT   0x14u                  /* the low half of pin 2's entry */

#define APIC     0xfee00000u
#define TPR      0x80u
#define EOI      0xb0u
#define SPURIOUS 0xf0u
#define ICR      0x300u
#define TIMER    0x320u
#define LINT0    0x350u
#define COUNT    0x380u
#define NOW      0x390u
#define DIVIDE   0x3e0u

/* It prints when the timer has come, once the PIT has as well. */
static const uint8_t apic_sector[] = {
    0xfa,                                   /*       cli */
    0x31, 0xc0,                             /*       xor %ax,%ax */
    0x8e, 0xd8,                             /*       mov %ax,%ds */
    0x8e, 0xd0,                             /*       mov %ax,%ss */
    0xbc, 0x00, 0x7c,                       /*       mov $0x7c00,%sp */
    0x0f, 0x01, 0x16, 0x00, 0x7d,           /*       lgdt gdtr */
    0x0f, 0x20, 0xc0,                       /*       mov %cr0,%eax */
    0x0c, 0x01,                             /*       or $1,%al */
    0x0f, 0x22, 0xc0,                       /*       mov %eax,%cr0 */
    0xbb, 0x08, 0x00,                       /*       mov $8,%bx */
    0x8e, 0xc3,                             /*       mov %bx,%es: 4 GiB */
    0x24, 0xfe,                             /*       and $0xfe,%al */
    0x0f, 0x22, 0xc0,                       /*       mov %eax,%cr0 */
    0xc7, 0x06, 0x00, 0x01, 0xc2, 0x7c,     /*       movw $tick,0x40*4 */
    0x8c, 0x1e, 0x02, 0x01,                 /*       mov %ds,0x40*4+2 */
    0xc7, 0x06, 0x04, 0x01, 0xe5, 0x7c,     /*       movw $self,0x41*4 */
    0x8c, 0x1e, 0x06, 0x01,                 /*       mov %ds,0x41*4+2 */
    0xc7, 0x06, 0x08, 0x01, 0xdf, 0x7c,     /*       movw $pit,0x42*4 */
    0x8c, 0x1e, 0x0a, 0x01,                 /*       mov %ds,0x42*4+2 */
    BASE(IO_APIC),
    0x26, 0x67, 0x66, 0xc7, 0x07, LE32(IO_PIT), /*   movl $..,%es:(%edi) */
    0x26, 0x67, 0x66, 0xc7, 0x47, IO_DATA, LE32(0x42),
    BASE(APIC),
    PUT(SPURIOUS, 0x1ff),                   /*       on */
    PUT(LINT0, 0x10000),                    /*       nothing of the PIC's */
    PUT(DIVIDE, 0xb),                       /*       by 1 */
    PUT(TIMER, 0x20040),                    /*       again and again */
    PUT(COUNT, 1000000),                    /*       each ms */
    0xfb,                                   /*       sti */
    PUT(TPR, 0x40),                         /* again: none of these now */
    0xb9, 0xb8, 0x0b,                       /*       mov $3000,%cx */
    0xe2, 0xfe,                             /*       loop . */
    PUT(TPR, 0),
    0xf4,                                   /*       hlt */
    0xeb, 0xde,                             /*       jmp again */
    0x26, 0x67, 0x66, 0x8b, 0x87, LE32(NOW), /* tick: mov %es:NOW(%edi),%eax */
    0x66, 0x01, 0x06, 0x16, 0x7d,           /*       add %eax,sum */
    PUT(ICR, 0x44041),                      /*       0x41 to itself */
    0xeb, 0x13,                             /*       jmp done */
    0xfe, 0x06, 0x1a, 0x7d,                 /* pit:  incb pits */
    0xeb, 0x0d,                             /*       jmp done */
    0x80, 0x3e, 0x1a, 0x7d, 0x00,           /* self: cmpb $0,pits */
    0x74, 0x06,                             /*       je done */
    0xba, 0xf8, 0x03,                       /*       mov $0x3f8,%dx */
    0xb0, '.',                              /*       mov $'.',%al */
    0xee,                                   /*       out %al,%dx */
    PUT(EOI, 0),                            /* done: */
    0xcf,                                   /*       iret */
    0x0f, 0, 0x06, 0x7d, 0, 0,              /* gdtr */
    0, 0, 0, 0, 0, 0, 0, 0,                 /* gdt */
    0xff, 0xff, 0, 0, 0, 0x92, 0xcf, 0,
    0, 0, 0, 0,                             /* sum */
    0,                                      /* pits */
};

static void test_apic(const void *args)
{
    g_autofree char *disk = make_disk(apic_sector, sizeof(apic_sector));

    QTestState *qts = boot_from(disk, "", args);

    assert_works(qts);
    qtest_quit(qts);
    g_unlink(disk);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_data_func("/pbkvm/apic/pc",
                        "-nic none -device ide-hd,drive=d", test_apic);
    qtest_add_data_func("/pbkvm/apic/q35", "-machine q35 -nic none "
                        "-device ide-hd,bus=ide.0,drive=d", test_apic);
    qtest_add_data_func("/pbkvm/apic/pb-timer", "-machine pc,pit=off "
                        "-device pb-timer -nic none -device ide-hd,drive=d",
                        test_apic);
    return g_test_run();
}
