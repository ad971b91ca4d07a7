/* SPDX-License-Identifier: GPL-2.0-or-later */
/* evidence-check.c: whether what stands in an evidence file makes sense. */
#include <string.h>

#include "evidence-check.h"
#include "pb-crc.h"

static bool all_zero(const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len--) {
        if (*p++) {
            return false;
        }
    }
    return true;
}

/* Texts end in the file with a zero, and have nothing for a terminal. */
static bool is_text(const char *text, size_t size)
{
    size_t i;

    if (text[size - 1]) {
        return false;
    }
    for (i = 0; text[i]; i++) {
        if ((uint8_t)text[i] < ' ' || (uint8_t)text[i] > '~') {
            return false;
        }
    }
    return true;
}

const char *pb_evidence_check_head(const PbEvidenceHead *h)
{
    if (memcmp(h->magic, PB_EVIDENCE_MAGIC, sizeof(h->magic))) {
        return "this is no evidence file of pbkvm";
    }
    if (h->crc != pb_crc(0, h, offsetof(PbEvidenceHead, crc))) {
        return "the file's head is damaged: wrong checksum";
    }
    if (h->version != PB_EVIDENCE_VERSION) {
        return "another version of the format";
    }
    if (h->event_version != PB_EVENT_VERSION ||
        h->event_size != sizeof(PbEvent) ||
        h->state_size != sizeof(PbState) ||
        h->info_size != sizeof(PbEvidenceInfo) ||
        !all_zero(h->zero, sizeof(h->zero))) {
        return "events or states of another kind";
    }
    return NULL;
}

static const char *check_question(const PbBackupStart *at)
{
    const PbEvent *q = &at->question;

    if (q->kind == PB_EVENT_INVALID) {
        return !at->partials && all_zero(q, sizeof(*q))
               ? NULL : "an exit without a question";
    }
    return pb_event_is_sync(q->kind) && q->kind != PB_EVENT_READ_BEGIN
           ? pb_event_check(q, at->seq) : "a question no exit asks";
}

static const char *check_start(const PbBackupStart *at)
{
    const PbTscStart *tsc = &at->tsc;
    uint32_t i;

    if (tsc->on > 1 || tsc->zero || (int64_t)(tsc->value - tsc->base) < 0 ||
        (!tsc->on && tsc->value)) {
        return "a time stamp counter that is none";
    }
    if (at->partials > PB_MAX_PARTIAL) {
        return "too many answers for one instruction";
    }
    for (i = 0; i < PB_MAX_PARTIAL; i++) {
        const PbEvent *p = &at->partial[i];

        if (i >= at->partials) {
            if (!all_zero(p, sizeof(*p))) {
                return "an answer that is not counted";
            }
        } else if (p->kind != PB_EVENT_MMIO_READ ||
                   pb_event_check(p, p->seq - 1)) {
            return "an answer that is none";
        }
    }
    return check_question(at);
}

const char *pb_evidence_check_info(const PbEvidenceInfo *info)
{
    if (info->counter != PB_COUNTER_PMU && info->counter != PB_COUNTER_STEP) {
        return "a branch counter of unknown kind";
    }
    if (info->cpus == 0 || info->cpus > PB_MAX_CPUS ||
        info->at.cpu >= info->cpus || info->at.zero) {
        return "a number of vCPUs that is out of range";
    }
    if (!is_text(info->vendor, sizeof(info->vendor)) ||
        !is_text(info->uarch, sizeof(info->uarch)) ||
        !is_text(info->cpu, sizeof(info->cpu)) ||
        !is_text(info->kernel, sizeof(info->kernel)) ||
        !is_text(info->program, sizeof(info->program)) ||
        !is_text(info->machine, sizeof(info->machine))) {
        return "a text that is none";
    }
    return check_start(&info->at);
}

static const char *check_ram(const PbEvidenceRamBlock *b, uint64_t *total)
{
    if (!is_text(b->name, sizeof(b->name))) {
        return "a RAM block's name is no text";
    }
    if (b->size == 0 || b->size % PB_EVIDENCE_PAGE) {
        return "a RAM block's size is not a multiple of 4096";
    }
    if (b->size > PB_EVIDENCE_MAX_RAM - *total) {
        return "more than 64 GiB of RAM";
    }
    *total += b->size;
    return NULL;
}

const char *pb_evidence_check_memory(const uint8_t *payload, uint64_t len,
                                     PbMem *mem)
{
    PbEvidenceMemory m;
    PbEvidenceRamBlock b;
    const char *bad;
    uint64_t total = 0;
    unsigned i;

    if (len < sizeof(m)) {
        return "the layout is too short";
    }
    memcpy(&m, payload, sizeof(m));
    payload += sizeof(m);
    if (m.blocks == 0 || m.blocks > PB_MEM_MAX_BLOCKS ||
        m.slots != PB_MEM_MAX_SLOTS) {
        return "no or too many RAM blocks or slots";
    }
    if (len != sizeof(m) + m.blocks * sizeof(b) + sizeof(mem->slot)) {
        return "the layout's length does not match its contents";
    }
    memset(mem, 0, sizeof(*mem));
    for (i = 0; i < m.blocks; i++, payload += sizeof(b)) {
        memcpy(&b, payload, sizeof(b));
        bad = check_ram(&b, &total);
        if (bad) {
            return bad;
        }
        pb_mem_add_block(mem, b.name, NULL, b.size);
    }
    memcpy(mem->slot, payload, sizeof(mem->slot));
    for (i = 0; i < PB_MEM_MAX_SLOTS; i++) {
        bad = pb_mem_check_slot(mem, i, &mem->slot[i]);
        if (bad) {
            return bad;
        }
    }
    return NULL;
}

/* Lines, with nothing for a terminal. */
static bool are_lines(const uint8_t *text, uint32_t len)
{
    uint32_t i;

    for (i = 0; i < len; i++) {
        if ((text[i] < ' ' || text[i] > '~') && text[i] != '\n') {
            return false;
        }
    }
    return len && text[len - 1] == '\n';
}

const char *pb_evidence_check_disk(const PbEvidenceDisk *d)
{
    if (!d->device[0] || !is_text(d->device, sizeof(d->device)) || d->zero) {
        return "its device has no name";
    }
    return NULL;
}

const char *pb_evidence_check_undo(const uint8_t *payload, uint64_t len,
                                   const PbEvidenceDisk *disk, unsigned disks,
                                   PbUndoData *u)
{
    PbEvidenceUndo *h = &u->head;

    if (len < sizeof(*h)) {
        return "too short";
    }
    memcpy(h, payload, sizeof(*h));
    u->data = payload + sizeof(*h);
    if (!h->bytes || (h->data && h->data != h->bytes) ||
        len - sizeof(*h) != h->data) {
        return "its length does not match its contents";
    }
    if (h->disk >= disks) {
        return "of no disk";
    }
    if (h->offset > disk[h->disk].size ||
        h->bytes > disk[h->disk].size - h->offset) {
        return "beyond the end of its disk";
    }
    return NULL;
}

const char *pb_evidence_check_point(const uint8_t *payload, uint64_t len,
                                    uint64_t from, unsigned undos,
                                    PbPointData *p)
{
    if (len < sizeof(p->head)) {
        return "too short";
    }
    memcpy(&p->head, payload, sizeof(p->head));
    p->list = payload + sizeof(p->head);
    p->devices = p->list + p->head.list;
    if (!p->head.devices || len - sizeof(p->head) !=
                            (uint64_t)p->head.list + p->head.devices) {
        return "its length does not match its contents";
    }
    if (p->head.event < from) {
        return "of an event that has taken place";
    }
    if (!are_lines(p->list, p->head.list)) {
        return "its devices are no list";
    }
    if (p->head.disks > PB_POINT_DISKS_UNKNOWN || p->head.undo > undos) {
        return "its disks are none";
    }
    return NULL;
}

const char *pb_evidence_check_pages(const PbEvidencePages *p, uint64_t len,
                                    const PbMem *mem)
{
    uint64_t size, bytes = (uint64_t)p->pages * PB_EVIDENCE_PAGE;

    if (p->pages == 0 || p->pages > PB_EVIDENCE_MAX_PAGES ||
        len != sizeof(*p) + bytes) {
        return "the length does not match the number of pages";
    }
    if (p->block >= mem->blocks) {
        return "pages of no RAM block";
    }
    size = mem->block[p->block].size;
    if (p->offset % PB_EVIDENCE_PAGE || p->offset > size ||
        bytes > size - p->offset) {
        return "pages beyond the end of their RAM block";
    }
    return NULL;
}

static const char *check_state(const PbEvent *e, const void *payload)
{
    PbState s;

    if (e->body.blob.len != sizeof(s)) {
        return "a vCPU state of another size";
    }
    memcpy(&s, payload, sizeof(s));
    return pb_state_check(&s);
}

const char *pb_evidence_check_payload(const PbEvent *e, const void *payload,
                                      uint32_t cpus, const PbMem *mem)
{
    const PbEventMem *m = &e->body.mem;
    PbSlotChange c;

    if ((e->kind == PB_EVENT_TURN || e->kind == PB_EVENT_STATE) &&
        e->arg >= cpus) {
        return "a vCPU that the guest does not have";
    }
    switch (e->kind) {
    case PB_EVENT_MEM_WRITE:
        return pb_mem_has(mem, m->block, m->offset, m->len)
               ? NULL : "a write beyond the end of its RAM block";
    case PB_EVENT_MEM_SLOT:
        memcpy(&c, payload, sizeof(c));
        return pb_mem_check_slot(mem, e->arg, &c);
    case PB_EVENT_STATE:
        return check_state(e, payload);
    default:
        return NULL;
    }
}
