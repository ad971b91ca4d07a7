/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link.h: what lab/run (outside) and the agent (inside, PID 1) say to each
 * other over one virtio-serial port. lablib/link.py holds the same numbers.
 *
 * A frame is an 8-byte header, little-endian, and its payload:
 *    0  u8   type       LINK_*
 *    1  u8   0
 *    2  u16  channel    0 stdin, 1 stdout, 2 stderr, 3.. connections
 *    4  u32  length     of the payload, at most LINK_PAYLOAD_MAX
 *
 * Flow control: a sender of LINK_DATA starts each channel with LINK_WINDOW
 * bytes of credit, and gets back what the receiver has passed on. So one
 * reader that stops stops its own channel, never the others.
 */
#ifndef LAB_LINK_H
#define LAB_LINK_H

#define LINK_PAYLOAD_MAX    (1u << 20)
#define LINK_WINDOW         (256u * 1024)

enum {
    /* both ways */
    LINK_DATA = 1,      /* bytes of a channel */
    LINK_EOF = 2,       /* no more LINK_DATA on this channel from this side */
    LINK_CREDIT = 3,    /* u32: bytes passed on since the last one */
    LINK_CLOSE = 4,     /* the connection is gone, both ways */
    /* from outside */
    LINK_START = 16,    /* the command, see command_start() */
    LINK_SIGNAL = 17,   /* u8: signal number for the command */
    LINK_SIZE = 18,     /* u16 rows, u16 columns of the terminal */
    LINK_OPEN = 19,     /* connect: "tPORT" or "uPATH" */
    /* from inside */
    LINK_READY = 32,    /* the lab is up: send LINK_START */
    LINK_OPENED = 33,   /* the connection stands */
    LINK_REFUSED = 34,  /* nobody listens there (yet) */
    LINK_EXIT = 35,     /* u8: exit status; all files are written; the end */
};

#endif /* LAB_LINK_H */
