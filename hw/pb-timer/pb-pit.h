/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-pit.h: the three counters of an i8254, as functions of time.
 *
 * Nothing runs here: a counter remembers when it was loaded with what, and
 * says what its output and value are at a time.  Times are clocks of the PIT
 * (PB_PIT_HZ) since any fixed moment, and never go back.  BQL held.
 */
#ifndef PB_PIT_H
#define PB_PIT_H

#define PB_PIT_HZ 1193182
#define PB_PIT_COUNTERS 3
#define PB_PIT_NEVER INT64_MAX

typedef struct PbPitCounter {
    uint8_t control;          /* last control word, without the selection */
    bool gate;

    /* Count register: what the guest has written. */
    uint16_t count;
    bool second_byte;         /* one byte of two is written */
    bool unloaded;            /* and the counting element does not have it */

    /* Counting element. */
    bool loaded;              /* since the last control word */
    bool paused;              /* by the gate, or by half a count (mode 0) */
    int64_t start;            /* when it was loaded; counts from there */
    int64_t held;             /* clocks counted when it was paused */
    uint32_t n;               /* what it was loaded with: 1..65536 */
    int64_t next_at;          /* modes 2 and 3: reload then, or NEVER */
    int64_t next_start;       /* @start from then on */
    uint32_t next_n;

    /* Reading. */
    bool read_second;
    uint16_t latch;
    uint8_t latched;          /* bytes of @latch still to be read */
    uint8_t status;
    bool status_latched;
} PbPitCounter;

/* As at power-on; the gate stays what it is. */
void pb_pit_reset(PbPitCounter *c);

/* Port 0x43. */
void pb_pit_write_control(PbPitCounter counter[PB_PIT_COUNTERS],
                          uint8_t value, int64_t now);

/* Ports 0x40 to 0x42. */
void pb_pit_write(PbPitCounter *c, uint8_t value, int64_t now);
uint8_t pb_pit_read(PbPitCounter *c, int64_t now);

void pb_pit_set_gate(PbPitCounter *c, bool gate, int64_t now);

/* The output pin. */
bool pb_pit_out(PbPitCounter *c, int64_t now);

/*
 * When the output next goes from low to high, after @now; PB_PIT_NEVER.
 * @period: clocks between this one and the next, or 0 if it is the only one.
 */
int64_t pb_pit_next_rise(PbPitCounter *c, int64_t now, uint32_t *period);

/* Is this what a PIT can be in?  Of a state that came from outside. */
bool pb_pit_valid(const PbPitCounter *c);

#endif /* PB_PIT_H */
