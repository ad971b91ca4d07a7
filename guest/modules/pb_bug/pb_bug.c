/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb_bug: a small driver with a real bug, for the demo. Do not mend it.
 *
 * A port carries one request at a time and a timer that gives up on it.
 * Sessions are kept alive by a work item, every 1.5 s. After
 *
 *     echo 1 > /proc/pb_bug
 *
 * a request is sent and cancelled, and a session is opened. Three seconds
 * later keeping that session alive stops the kernel with a NULL pointer in
 * code that has no fault, and nothing in the crash dump names what has: all
 * of the guilty function's traces were gone a second before.
 *
 * (The bug: see pb_request_cancel.)
 */
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#define REQUEST_TIMEOUT msecs_to_jiffies(2000)
#define ALIVE_PERIOD msecs_to_jiffies(1500)

enum pb_state { PB_NEW, PB_SENT, PB_DONE, PB_TIMED_OUT };

struct pb_request {
    struct list_head link;
    u32 id;
    enum pb_state state;
    u8 data[40];
};

struct pb_session;

struct pb_session_ops {
    const char *name;
    void (*keep_alive)(struct pb_session *session);
};

struct pb_session {
    struct list_head link;
    u32 id;
    const struct pb_session_ops *ops;
    unsigned long last_alive;
    char user[36];
};

/* The port: the request on its way, and when to give it up. */
static struct pb_request *pb_pending;
static void pb_request_timeout(struct timer_list *timer);
static DEFINE_TIMER(pb_timeout, pb_request_timeout);

static LIST_HEAD(pb_sessions);
static void pb_keep_alive(struct work_struct *work);
static DECLARE_DELAYED_WORK(pb_alive, pb_keep_alive);
static DEFINE_MUTEX(pb_lock);
static u32 pb_next_id;

/* Timer: no answer came. */
static void pb_request_timeout(struct timer_list *timer)
{
    struct pb_request *request = pb_pending;

    request->state = PB_TIMED_OUT;
}

static struct pb_request *pb_request_send(void)
{
    struct pb_request *request = kzalloc(sizeof(*request), GFP_KERNEL);

    if (request) {
        INIT_LIST_HEAD(&request->link);
        request->id = ++pb_next_id;
        request->state = PB_SENT;
        pb_pending = request;
        mod_timer(&pb_timeout, jiffies + REQUEST_TIMEOUT);
    }
    return request;
}

/*
 * The answer's path stops the timer before it frees. This one forgets to:
 * when the timer fires, pb_pending points to what lives there by then.
 */
static void pb_request_cancel(struct pb_request *request)
{
    list_del(&request->link);
    kfree(request);
}

static void pb_console_alive(struct pb_session *session)
{
    session->last_alive = jiffies;
}

static const struct pb_session_ops pb_console_ops = {
    .name = "console",
    .keep_alive = pb_console_alive,
};

static int pb_session_open(const char *user)
{
    struct pb_session *session = kzalloc(sizeof(*session), GFP_KERNEL);

    if (!session) {
        return -ENOMEM;
    }
    session->id = ++pb_next_id;
    session->ops = &pb_console_ops;
    strscpy(session->user, user, sizeof(session->user));
    list_add_tail(&session->link, &pb_sessions);
    return 0;
}

/* Work item: innocent, and what the crash dump shows. */
static void pb_keep_alive(struct work_struct *work)
{
    struct pb_session *session;

    mutex_lock(&pb_lock);
    list_for_each_entry(session, &pb_sessions, link) {
        session->ops->keep_alive(session);
    }
    mutex_unlock(&pb_lock);
    schedule_delayed_work(&pb_alive, ALIVE_PERIOD);
}

static ssize_t pb_bug_write(struct file *file, const char __user *text,
                            size_t len, loff_t *pos)
{
    struct pb_request *request;
    char first;
    int ret;

    if (!len || get_user(first, text)) {
        return -EFAULT;
    }
    if (first != '1') {
        return -EINVAL;
    }
    mutex_lock(&pb_lock);
    request = pb_request_send();
    if (request) {
        pb_request_cancel(request);
    }
    ret = pb_session_open("root");
    mutex_unlock(&pb_lock);
    schedule_delayed_work(&pb_alive, ALIVE_PERIOD);
    return ret ? ret : len;
}

static int pb_bug_show(struct seq_file *file, void *unused)
{
    struct pb_session *session;

    mutex_lock(&pb_lock);
    list_for_each_entry(session, &pb_sessions, link) {
        seq_printf(file, "session %u of %s alive at %lu\n", session->id,
                   session->user, session->last_alive);
    }
    mutex_unlock(&pb_lock);
    return 0;
}

static int pb_bug_open(struct inode *inode, struct file *file)
{
    return single_open(file, pb_bug_show, NULL);
}

static const struct proc_ops pb_bug_ops = {
    .proc_open = pb_bug_open,
    .proc_read = seq_read,
    .proc_lseek = seq_lseek,
    .proc_release = single_release,
    .proc_write = pb_bug_write,
};

static int __init pb_bug_init(void)
{
    if (!proc_create("pb_bug", 0644, NULL, &pb_bug_ops)) {
        return -ENOMEM;
    }
    pr_info("pb_bug: loaded\n");
    return 0;
}

static void __exit pb_bug_exit(void)
{
    struct pb_session *session, *next;

    remove_proc_entry("pb_bug", NULL);
    timer_shutdown_sync(&pb_timeout);
    cancel_delayed_work_sync(&pb_alive);
    list_for_each_entry_safe(session, next, &pb_sessions, link) {
        kfree(session);
    }
}

module_init(pb_bug_init);
module_exit(pb_bug_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("pbkvm: a use after free, for the demo");
