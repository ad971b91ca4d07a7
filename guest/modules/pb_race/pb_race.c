/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb_race: a small driver with a race, for docs/races.md. Do not mend it.
 *
 * A timer posts a request at each tick, and wakes a worker on every CPU: the
 * first to come takes what is due. After
 *
 *     echo 1 > /proc/pb_race
 *
 * that goes well for as long as no worker loses its CPU at the wrong moment.
 * Then the kernel stops in the one that did, where it takes a request off the
 * queue that was taken off before; who did that has left no trace.
 *
 * (The bug: see pb_work.)
 */
#include <linux/cpu.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/proc_fs.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

struct pb_request {
    struct list_head link;
    u32 id;
    u32 sum;
    u8 data[112];
};

static LIST_HEAD(pb_queue);
static DEFINE_SPINLOCK(pb_lock);
static DEFINE_PER_CPU(struct work_struct, pb_worker);
static void pb_post(struct timer_list *timer);
static DEFINE_TIMER(pb_timer, pb_post);
static u32 pb_next_id;
static u32 pb_done;

/* Timer: a request, and all CPUs are told. */
static void pb_post(struct timer_list *timer)
{
    struct pb_request *request = kzalloc(sizeof(*request), GFP_ATOMIC);
    int cpu;

    if (request) {
        request->id = ++pb_next_id;
        memset(request->data, request->id, sizeof(request->data));
        spin_lock(&pb_lock);
        list_add_tail(&request->link, &pb_queue);
        spin_unlock(&pb_lock);
    }
    for_each_online_cpu(cpu) {
        schedule_work_on(cpu, per_cpu_ptr(&pb_worker, cpu));
    }
    mod_timer(&pb_timer, jiffies + 1);
}

static void pb_complete(struct pb_request *request)
{
    unsigned int i;

    for (i = 0; i < sizeof(request->data); i++) {
        request->sum = request->sum * 31 + request->data[i];
    }
    WRITE_ONCE(pb_done, request->id);
}

/*
 * The lock is for whoever adds; that two may take the same request away, each
 * on its own CPU, was not thought of.
 */
static void pb_work(struct work_struct *work)
{
    struct pb_request *request;

    while (!list_empty(&pb_queue)) {
        request = list_first_entry(&pb_queue, struct pb_request, link);
        pb_complete(request);
        list_del(&request->link);
        kfree(request);
    }
}

static ssize_t pb_race_write(struct file *file, const char __user *text,
                             size_t len, loff_t *pos)
{
    char first;

    if (!len || get_user(first, text)) {
        return -EFAULT;
    }
    if (first != '0' && first != '1') {
        return -EINVAL;
    }
    if (first == '1') {
        mod_timer(&pb_timer, jiffies + 1);
    } else {
        timer_delete_sync(&pb_timer);
    }
    return len;
}

static ssize_t pb_race_read(struct file *file, char __user *text, size_t len,
                            loff_t *pos)
{
    char line[32];
    int n = scnprintf(line, sizeof(line), "%u requests\n",
                      READ_ONCE(pb_done));

    return simple_read_from_buffer(text, len, pos, line, n);
}

static const struct proc_ops pb_race_ops = {
    .proc_read = pb_race_read,
    .proc_write = pb_race_write,
};

static int __init pb_race_init(void)
{
    int cpu;

    for_each_possible_cpu(cpu) {
        INIT_WORK(per_cpu_ptr(&pb_worker, cpu), pb_work);
    }
    if (!proc_create("pb_race", 0644, NULL, &pb_race_ops)) {
        return -ENOMEM;
    }
    pr_info("pb_race: loaded\n");
    return 0;
}

static void __exit pb_race_exit(void)
{
    int cpu;

    remove_proc_entry("pb_race", NULL);
    timer_shutdown_sync(&pb_timer);
    for_each_possible_cpu(cpu) {
        flush_work(per_cpu_ptr(&pb_worker, cpu));
    }
}

module_init(pb_race_init);
module_exit(pb_race_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("pbkvm: a race, for docs/races.md");
