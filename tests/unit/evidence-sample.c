/* SPDX-License-Identifier: GPL-2.0-or-later */
/* evidence-sample.c: an evidence file of known contents. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "evidence-sample.h"
#include "pb-crc.h"

static char folder[64];

uint64_t sample_random(void)
{
    static uint64_t x = 88172645463325252ull;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

const char *sample_path(const char *name)
{
    static char path[2][128];
    static unsigned which;

    if (!folder[0]) {
        snprintf(folder, sizeof(folder), "/tmp/evidence-test-XXXXXX");
        if (!mkdtemp(folder)) {
            abort();
        }
    }
    which ^= 1;
    snprintf(path[which], sizeof(path[which]), "%s/%s", folder, name);
    return path[which];
}

void sample_clean_up(void)
{
    DIR *dir = folder[0] ? opendir(folder) : NULL;
    struct dirent *d;

    while (dir && (d = readdir(dir))) {
        unlinkat(dirfd(dir), d->d_name, 0);
    }
    if (dir) {
        closedir(dir);
        rmdir(folder);
    }
}

/* ---- contents ---- */

static void add_ram(PbMem *m, const char *name, uint64_t size)
{
    uint8_t *host = mmap(NULL, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t at;

    /* Runs of pages, and holes. */
    for (at = 0; at < size; at += 4096) {
        if ((at / 4096) % 7 != 3) {
            host[at + sample_random() % 4096] = 1 + sample_random() % 255;
        }
    }
    pb_mem_add_block(m, name, host, size);
    m->owned = true;
}

static void fill_state(Sample *s)
{
    unsigned i;

    s->info.cpus = 2;
    s->state.regs.rip = 0xc0100000;
    s->state.regs.rsp = 0xc0ffee00;
    s->state.sregs.cr3 = 0x1234000;
    s->state.msrs = 2;
    s->state.msr[0] = (struct kvm_msr_entry) { .index = 0x174, .data = 0x60 };
    s->state.msr[1] = (struct kvm_msr_entry) { .index = 0x277, .data = 7 };
    s->other = s->state;
    s->other.regs.rip = 0xc0200000;
    s->info.at = (PbBackupStart) {
        .seq = SAMPLE_FIRST_SEQ - 1, .digest = 0x1122334455667788,
        .branches = 123456789, .time_ns = 5000000000, .writes = 77, .cpu = 1,
        .question = { .seq = SAMPLE_FIRST_SEQ, .kind = PB_EVENT_MMIO_READ,
                      .size = 4, .body.mmio.gpa = 0xa0000 },
        .partials = 1,
        .partial[0] = { .seq = 998, .kind = PB_EVENT_MMIO_READ, .size = 4,
                        .body.mmio = { .gpa = 0x9fffc, .data = { 1, 2 } } },
    };
    s->info.counter = PB_COUNTER_PMU;
    strcpy(s->info.vendor, "AuthenticAMD");
    strcpy(s->info.uarch, "lab (PMU model)");
    strcpy(s->info.cpu, "A CPU of this test");
    strcpy(s->info.kernel, "6.12.0");
    s->cpuid = calloc(1, sizeof(*s->cpuid) + 3 * sizeof(s->cpuid->entries[0]));
    s->cpuid->nent = 3;
    for (i = 0; i < 3; i++) {
        s->cpuid->entries[i].function = i;
        s->cpuid->entries[i].ecx = i * 0x1111;
    }
}

static PbEvent make_event(const Sample *s, unsigned i)
{
    PbEvent e = { .seq = SAMPLE_FIRST_SEQ + i, .writes = 77 + i,
                  .time_ns = 5000000000 + i * 1000, .branches = 200000000 + i };

    switch (i % 8) {
    case 0:
    case 1:
        e.kind = PB_EVENT_MEM_WRITE;
        e.branches = 0;
        e.body.mem.offset = i * 64;
        e.body.mem.len = 4096 - i;
        break;
    case 2:
        e.kind = PB_EVENT_PIO_IN;
        e.arg = 0x1f0;
        e.size = 2;
        e.body.pio.count = 256;
        break;
    case 3:
        e.kind = PB_EVENT_STATE;
        e.body.blob.len = sizeof(s->state);
        break;
    case 4:
        e.kind = PB_EVENT_MEM_SLOT;
        e.arg = 1;
        break;
    case 5:
        e.kind = PB_EVENT_IRQ;
        e.arg = 0x30;
        e.body.pos.rip = 0xc0123456 + i;
        break;
    case 6:
        e.kind = i % 16 == 6 ? PB_EVENT_HLT : PB_EVENT_TURN;
        e.arg = e.kind == PB_EVENT_TURN;
        break;
    default:
        e.kind = PB_EVENT_MARK;
    }
    return e;
}

static void make_payload(const Sample *s, const PbEvent *e, uint8_t *to)
{
    static const PbSlotChange slot = { .gpa = 0xe0000, .size = 0x2000,
                                       .block = 1, .readonly = 1 };
    uint32_t i, len = pb_event_payload_len(e);

    if (e->kind == PB_EVENT_STATE) {
        memcpy(to, &s->state, sizeof(s->state));
    } else if (e->kind == PB_EVENT_MEM_SLOT) {
        memcpy(to, &slot, sizeof(slot));
    } else {
        for (i = 0; i < len; i++) {
            to[i] = sample_random();
        }
    }
}

static void make_events(Sample *s)
{
    unsigned i;

    s->slot = calloc(SAMPLE_EVENTS, 80 * sizeof(PbEvent));
    for (i = 0; i < SAMPLE_EVENTS; i++) {
        PbEvent *e = &s->slot[s->slots];

        *e = make_event(s, i);
        s->at[i] = s->slots;
        make_payload(s, e, (uint8_t *)(e + 1));
        s->slots += 1 + pb_event_extra_slots(e);
    }
}

static const PbEvent *slot_after(void *opaque, uint32_t i)
{
    return (const PbEvent *)opaque + i;
}

PbEvidenceDisk sample_disk(unsigned i)
{
    PbEvidenceDisk d = { .device = SAMPLE_DISK, .size = 1000 + i,
                         .sample = 77 };

    d.device[sizeof(SAMPLE_DISK) - 1] = '1' + i;
    return d;
}

/* The second one held zeroes. */
PbUndoData sample_undo(unsigned i)
{
    uint32_t len = sizeof(SAMPLE_HELD);

    return (PbUndoData) {
        .head = { .offset = 100 * i, .bytes = i == 1 ? 800 : len,
                  .disk = i % SAMPLE_DISKS, .now = 55 + i,
                  .data = i == 1 ? 0 : len },
        .data = i == 1 ? NULL : (const uint8_t *)SAMPLE_HELD,
    };
}

PbPointData sample_point(unsigned i)
{
    return (PbPointData) {
        .head = { .event = SAMPLE_FIRST_SEQ - 1 + 5 * i,
                  .time_ns = 5000000000 + i, .disks = 1 + i,
                  .undo = i ? 0 : 2,
                  .list = sizeof(SAMPLE_LIST) - 1,
                  .devices = sizeof(SAMPLE_DEVICES) },
        .list = (const uint8_t *)SAMPLE_LIST,
        .devices = (const uint8_t *)SAMPLE_DEVICES,
    };
}

static bool write_points(PbEvidenceWriter *w)
{
    unsigned i;

    for (i = 0; i < SAMPLE_DISKS; i++) {
        PbEvidenceDisk d = sample_disk(i);

        if (!pb_evidence_write_disk(w, &d)) {
            return false;
        }
    }
    for (i = 0; i < SAMPLE_UNDOS; i++) {
        PbUndoData u = sample_undo(i);

        if (!pb_evidence_write_undo(w, &u)) {
            return false;
        }
    }
    for (i = 0; i < SAMPLE_POINTS; i++) {
        PbPointData p = sample_point(i);

        if (!pb_evidence_write_point(w, &p)) {
            return false;
        }
    }
    return true;
}

void sample_write(const Sample *s, PbEvidenceWriter *w)
{
    struct kvm_cpuid2 *cpuid[2] = { s->cpuid, s->cpuid };
    PbState state[2] = { s->state, s->other };
    unsigned i;

    if (pb_evidence_write_state(w, &s->info, cpuid, &s->mem, state) &&
        write_points(w) &&
        pb_evidence_write_ram(w, &s->mem)) {
        for (i = 0; i < SAMPLE_EVENTS; i++) {
            PbEvent *e = &s->slot[s->at[i]];

            if (!pb_evidence_write_event(w, e, slot_after, e)) {
                break;
            }
        }
    }
}

/* ---- bytes ---- */

static void load(Sample *s, const char *path)
{
    int fd = open(path, O_RDONLY);
    size_t at = sizeof(PbEvidenceHead);
    PbEvidenceBlock h;

    s->size = lseek(fd, 0, SEEK_END);
    s->bytes = malloc(s->size);
    if (pread(fd, s->bytes, s->size, 0) != (ssize_t)s->size) {
        abort();
    }
    close(fd);
    while (at < s->size && s->blocks < SAMPLE_MAX_BLOCKS) {
        memcpy(&h, s->bytes + at, sizeof(h));
        s->block[s->blocks++] = (SampleBlock) { at, h.len, h.kind };
        at += sizeof(h) + h.len;
    }
}

Sample *sample_new(void)
{
    Sample *s = calloc(1, sizeof(*s));
    const char *path = sample_path("good");
    PbEvidenceWritten written;
    char why[400];
    PbEvidenceWriter *w;

    add_ram(&s->mem, "pc.ram", 64 * 4096);
    add_ram(&s->mem, "pc.bios", 4 * 4096);
    s->mem.slot[0] = (PbSlotChange) { .size = 32 * 4096 };
    s->mem.slot[5] = (PbSlotChange) { .gpa = 0xf0000, .size = 4096,
                                      .offset = 4096, .block = 1 };
    fill_state(s);
    make_events(s);
    unlink(path);
    w = pb_evidence_create(path, why, sizeof(why));
    if (!w) {
        printf("# %s\n", why);
        abort();
    }
    sample_write(s, w);
    if (!pb_evidence_finish(w, &written, why, sizeof(why))) {
        printf("# %s\n", why);
        abort();
    }
    load(s, path);
    return s;
}

void sample_free(Sample *s)
{
    pb_mem_destroy(&s->mem);
    free(s->cpuid);
    free(s->slot);
    free(s->bytes);
    free(s);
}

SampleBlock *sample_block(Sample *s, uint32_t kind)
{
    unsigned i;

    for (i = 0; i < s->blocks && s->block[i].kind != kind; i++) {
    }
    return &s->block[i];
}

SampleBlock *sample_last_block(Sample *s, uint32_t kind)
{
    unsigned i;

    for (i = s->blocks; i > 1 && s->block[i - 1].kind != kind; i--) {
    }
    return &s->block[i - 1];
}

size_t sample_event_end(Sample *s, unsigned i)
{
    unsigned b, n = 0, j;

    for (b = 0; b < s->blocks; b++) {
        size_t at = s->block[b].at + sizeof(PbEvidenceBlock);
        PbEvidenceEvents ev;

        if (s->block[b].kind != PB_EVIDENCE_EVENTS) {
            continue;
        }
        memcpy(&ev, s->bytes + at, sizeof(ev));
        if (i < n + ev.events) {
            at += sizeof(ev) + ev.events * 4;
            for (j = n; j <= i; j++) {
                at += sizeof(PbEvent) *
                      (1 + pb_event_extra_slots(&s->slot[s->at[j]]));
            }
            return at;
        }
        n += ev.events;
    }
    return 0;
}

/* As far as the sizes in the block make sense. */
static void reseal_events(uint8_t *p, size_t len)
{
    PbEvidenceEvents ev;
    uint8_t *table = p + sizeof(ev);
    size_t at;
    uint32_t i;

    memcpy(&ev, p, sizeof(ev));
    at = sizeof(ev) + (size_t)ev.events * 4;
    if (at > len) {
        return;
    }
    for (i = 0; i < ev.events && at + sizeof(PbEvent) <= len; i++) {
        PbEvent e;
        size_t n;
        uint32_t crc;

        memcpy(&e, p + at, sizeof(e));
        n = sizeof(e) * (1 + (size_t)pb_event_extra_slots(&e));
        n = n < len - at ? n : len - at;
        crc = pb_crc(0, p + at, n);
        memcpy(table + i * 4, &crc, 4);
        at += n;
    }
    ev.crc = pb_crc(0, &ev, offsetof(PbEvidenceEvents, crc));
    ev.crc = pb_crc(ev.crc, table, (size_t)ev.events * 4);
    memcpy(p, &ev, sizeof(ev));
}

void sample_reseal(Sample *s)
{
    PbEvidenceHead head;
    unsigned i;

    memcpy(&head, s->bytes, sizeof(head));
    head.crc = pb_crc(0, &head, offsetof(PbEvidenceHead, crc));
    memcpy(s->bytes, &head, sizeof(head));
    for (i = 0; i < s->blocks; i++) {
        const SampleBlock *b = &s->block[i];
        uint8_t *p = s->bytes + b->at + sizeof(PbEvidenceBlock);
        PbEvidenceBlock h;

        if (b->kind == PB_EVIDENCE_EVENTS) {
            reseal_events(p, b->len);
        }
        memcpy(&h, s->bytes + b->at, sizeof(h));
        h.crc = pb_crc(0, p, b->len);
        h.head_crc = pb_crc(0, &h, offsetof(PbEvidenceBlock, head_crc));
        memcpy(s->bytes + b->at, &h, sizeof(h));
    }
}

PbEvidence *sample_open(const uint8_t *bytes, size_t len, char *why,
                        size_t why_len)
{
    const char *path = sample_path("changed");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len) {
        abort();
    }
    close(fd);
    why[0] = 0;
    return pb_evidence_open(path, why, why_len);
}

int sample_read_events(PbEvidence *e, char *why, size_t len)
{
    const PbEvent *slots;
    int n, events = 0;

    pb_evidence_rewind(e);
    while ((n = pb_evidence_next(e, &slots, why, len)) > 0) {
        events++;
    }
    return n < 0 ? n : events;
}
