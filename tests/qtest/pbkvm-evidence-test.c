/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-evidence-test.c: SeaBIOS as the guest; its Backup is saved, and the
 * file is replayed in other processes, or refused.
 */
#include "qemu/osdep.h"
#include "pbkvm-query.h"

#define REST "-m 32 -nic none -vga none"

static char *dir;
static char *good;            /* saved by the first test, used by all */
static int64_t saved_at, saved_branches, last_event;

static QDict *command(QTestState *qts, const char *name)
{
    return qtest_qmp(qts, "{ 'execute': %s }", name);
}

static char *status_of(QTestState *qts)
{
    QDict *reply = command(qts, "query-pbkvm");
    char *status = g_strdup(qdict_get_str(qdict_get_qdict(reply, "return"),
                                          "status"));

    qobject_unref(reply);
    return status;
}

static QDict *save(QTestState *qts, const char *file)
{
    return qtest_qmp(qts, "{ 'execute': 'pbkvm-save-evidence',"
                     " 'arguments': { 'filename': %s } }", file);
}

static void test_frozen_backup_is_saved(void)
{
    QTestState *qts = qtest_init("-accel pbkvm,lag=300 " REST);
    g_autofree char *exists =
        g_strdup_printf("%s is there already and is not overwritten: name "
                        "another file", good);
    QDict *reply, *r;

    wait_for(qts, "events-read", 20);
    assert_error(save(qts, good), "the Backup must be frozen to be saved, it "
                 "is running");
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-freeze' }");
    saved_at = query_number(qts, "events-read");
    saved_branches = query_number(qts, "backup-branches");
    wait_for(qts, "events-written", saved_at + 100);
    qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
    reply = save(qts, good);
    g_assert(qdict_haskey(reply, "return"));
    r = qdict_get_qdict(reply, "return");
    last_event = qdict_get_int(r, "last-event");
    g_assert_cmpint(last_event, ==, query_number(qts, "events-written"));
    g_assert_cmpint(qdict_get_int(r, "events"), ==, last_event - saved_at);
    qobject_unref(reply);
    assert_error(save(qts, good), exists);
    /* Nothing was consumed or disturbed by it. */
    g_assert_cmpint(query_number(qts, "events-read"), ==, saved_at);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-thaw' }");
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    reply = command(qts, "pbkvm-verify");
    g_assert(qdict_get_bool(qdict_get_qdict(reply, "return"), "equal"));
    qobject_unref(reply);
    qtest_quit(qts);
}

static void replay(int64_t *branches, int64_t *rip)
{
    QTestState *qts = qtest_initf("-accel pbkvm,replay=%s " REST, good);
    g_autofree char *copy = g_strdup_printf("this is a replay of %s: copy "
                                            "that file", good);
    g_autofree char *no_primary =
        g_strdup_printf("cannot verify: this is a replay of %s, there is no "
                        "Primary to compare with", good);
    g_autofree char *status = status_of(qts);
    g_autofree char *end = NULL;

    g_assert_cmpstr(status, ==, "frozen");
    g_assert_cmpint(query_number(qts, "events-read"), ==, saved_at);
    g_assert_cmpint(query_number(qts, "backup-branches"), ==,
                    saved_branches);
    g_assert_cmpint(query_number(qts, "events-written"), ==, last_event);
    assert_error(command(qts, "cont"), "the machine does not run in a "
                 "replay: pbkvm-thaw lets the Backup go on");
    assert_error(save(qts, "/nowhere"), copy);
    assert_error(command(qts, "pbkvm-verify"), no_primary);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-thaw' }");
    /* One more: the end itself. */
    wait_for(qts, "events-read", last_event + 1);
    end = status_of(qts);
    g_assert_cmpstr(end, ==, "ended");
    *branches = query_number(qts, "backup-branches");
    *rip = query_number(qts, "backup-rip");
    qtest_quit(qts);
}

static void test_replays_are_the_same(void)
{
    int64_t branches[2], rip[2];

    replay(&branches[0], &rip[0]);
    replay(&branches[1], &rip[1]);
    g_assert_cmpint(branches[0], >, saved_branches);
    g_assert_cmpint(branches[0], ==, branches[1]);
    g_assert_cmpint(rip[0], ==, rip[1]);
}

/* Start a replay of @file that must be refused with @error. */
static void assert_refused(const char *file, const char *rest,
                           const char *error)
{
    g_autofree char *line =
        g_strdup_printf("%s -display none -accel pbkvm,replay=%s %s",
                        g_getenv("QTEST_QEMU_BINARY"), file, rest);
    g_autofree char *errors = NULL;
    int status;

    g_assert(g_spawn_command_line_sync(line, NULL, &errors, &status, NULL));
    g_assert(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    if (!strstr(errors, error)) {
        g_test_message("expected: %s", error);
        g_test_message("got: %s", errors);
        g_test_fail();
    }
}

static void test_other_machines_are_refused(void)
{
    assert_refused(good, "-m 64 -nic none -vga none",
                   "with 32 MiB of RAM, this one has 64 MiB\nUse -m 32M.");
    assert_refused(good, "-machine q35 " REST, "of a machine of type pc-");
    assert_refused("/nowhere", REST, "/nowhere: No such file or directory");
}

/* A copy with one byte changed, and cut if @cut is not 0. */
static char *changed(const char *name, gsize cut, gsize at, char value)
{
    char *file = g_build_filename(dir, name, NULL);
    g_autofree char *bytes = NULL;
    gsize len;

    g_assert(g_file_get_contents(good, &bytes, &len, NULL));
    bytes[at] = value;
    g_assert(g_file_set_contents(file, bytes, cut ? cut : len, NULL));
    return file;
}

static void test_damaged_files_are_refused(void)
{
    g_autofree char *magic = changed("magic", 0, 0, 'x');
    g_autofree char *flip = changed("flip", 0, 5000, 0x55);
    g_autofree char *shorter = changed("short", 4000, 0, 0x89);

    assert_refused(magic, REST, "this is no evidence file of pbkvm");
    assert_refused(flip, REST, "damaged: wrong checksum");
    assert_refused(shorter, REST, "the file ends before the Backup's state "
                   "is complete: it cannot be opened");
}

static void test_cut_file_is_opened(void)
{
    g_autofree char *bytes = NULL, *file = NULL;
    QTestState *qts;
    int64_t last;
    gsize len;

    g_assert(g_file_get_contents(good, &bytes, &len, NULL));
    file = changed("cut", len - 1000, 0, 0x89);
    qts = qtest_initf("-accel pbkvm,replay=%s " REST, file);
    last = query_number(qts, "events-written");
    g_assert_cmpint(last, >, saved_at);
    g_assert_cmpint(last, <, last_event);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-thaw' }");
    wait_for(qts, "events-read", last + 1);
    qtest_quit(qts);
}

static void test_panic_saves_the_backup(void)
{
    g_autofree char *file = g_build_filename(dir, "panic", NULL);
    QTestState *qts = qtest_initf("-accel pbkvm,lag=300,evidence=%s " REST,
                                  file);
    int64_t last;

    wait_for(qts, "events-read", 20);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-panic' }");
    qtest_qmp_eventwait(qts, "PBKVM_PANIC");
    last = query_number(qts, "events-written");
    qtest_quit(qts);
    qts = qtest_initf("-accel pbkvm,replay=%s " REST, file);
    g_assert_cmpint(query_number(qts, "events-written"), ==, last);
    qtest_quit(qts);
}

static void clean_up(void)
{
    static const char *const names[] = { "good", "magic", "flip", "short",
                                         "cut", "panic" };
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *file = g_build_filename(dir, names[i], NULL);

        unlink(file);
    }
    rmdir(dir);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("pbkvm-evidence-XXXXXX", NULL);
    good = g_build_filename(dir, "good", NULL);
    /* In this order: the first one makes the file. */
    qtest_add_func("/pbkvm/evidence/1-save", test_frozen_backup_is_saved);
    qtest_add_func("/pbkvm/evidence/2-replay", test_replays_are_the_same);
    qtest_add_func("/pbkvm/evidence/3-other-machine",
                   test_other_machines_are_refused);
    qtest_add_func("/pbkvm/evidence/4-damaged",
                   test_damaged_files_are_refused);
    qtest_add_func("/pbkvm/evidence/5-cut", test_cut_file_is_opened);
    qtest_add_func("/pbkvm/evidence/6-panic", test_panic_saves_the_backup);
    ret = g_test_run();
    clean_up();
    return ret;
}
