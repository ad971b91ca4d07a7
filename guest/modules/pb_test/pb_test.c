/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb_test: a module that lives on interrupts, for the tests.
 *
 * A timer fires at every tick until it has fired "limit" times. Each time it
 * folds what it sees into a checksum, so that a tick which reaches a replayed
 * kernel at another moment leaves another memory. /proc/pb_test shows both.
 */
#include <linux/jiffies.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/timer.h>

static unsigned int limit = 200;
module_param(limit, uint, 0444);
MODULE_PARM_DESC(limit, "ticks to count before the timer stops");

static unsigned int count;
static u32 checksum;

static void pb_test_tick(struct timer_list *timer);
static DEFINE_TIMER(pb_test_timer, pb_test_tick);

/* Timer interrupt's tail; the only writer of count and checksum. */
static void pb_test_tick(struct timer_list *timer)
{
    checksum = checksum * 16777619 + (u32)jiffies;
    checksum ^= (u32)current->pid + (u32)current->stime;
    WRITE_ONCE(count, count + 1);
    if (count < limit) {
        mod_timer(timer, jiffies);      /* already due: at the next tick */
    }
}

static int pb_test_show(struct seq_file *file, void *unused)
{
    unsigned int now = READ_ONCE(count);

    seq_printf(file, "count %u of %u %s checksum %08x\n", now, limit,
               now < limit ? "running" : "done", READ_ONCE(checksum));
    return 0;
}

/* What a pvpanic device is told by a panicked guest (bit 0). */
static unsigned int pvpanic;
module_param(pvpanic, uint, 0444);
MODULE_PARM_DESC(pvpanic, "port of a pvpanic device to say panic to, or 0");

static int __init pb_test_init(void)
{
    if (pvpanic) {
        outb(1, pvpanic);
    }
    if (!proc_create_single("pb_test", 0444, NULL, pb_test_show)) {
        return -ENOMEM;
    }
    mod_timer(&pb_test_timer, jiffies);
    pr_info("pb_test: loaded, %u ticks to count\n", limit);
    return 0;
}

static void __exit pb_test_exit(void)
{
    remove_proc_entry("pb_test", NULL);
    timer_shutdown_sync(&pb_test_timer);
    pr_info("pb_test: unloaded after %u ticks\n", count);
}

module_init(pb_test_init);
module_exit(pb_test_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("pbkvm: counts timer ticks");
