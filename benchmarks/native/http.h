/* What the backend and the driver share: a growing buffer, a clock, the length of an HTTP/1.1 message. */
#ifndef GYMCTL_BENCH_HTTP_H
#define GYMCTL_BENCH_HTTP_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct buffer {
    char *data;
    size_t used, room;
};

static inline void die(const char *what) {
    perror(what);
    exit(2);
}

static inline double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Room for `more` bytes and a terminating zero behind what is used. */
static inline char *reserve(struct buffer *b, size_t more) {
    if (b->room < b->used + more + 1) {
        b->room = (b->used + more + 1) * 2;
        b->data = realloc(b->data, b->room);
        if (!b->data) die("realloc");
    }
    return b->data + b->used;
}

static inline void append(struct buffer *b, const char *text, size_t length) {
    memcpy(reserve(b, length), text, length);
    b->used += length;
    b->data[b->used] = 0;
}

/* Read all that is there. Returns 0 when the peer has closed or the connection is broken. */
static inline int fill(struct buffer *b, int fd) {
    for (;;) {
        reserve(b, 8192);
        ssize_t n = recv(fd, b->data + b->used, b->room - b->used - 1, 0);
        if (n > 0) {
            b->used += (size_t)n;
            b->data[b->used] = 0;
            continue;
        }
        return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    }
}

/* Bytes of the first whole message in the buffer, 0 while it is not complete; `body` is where its body starts. */
static inline size_t whole_message(const struct buffer *b, size_t *body) {
    if (!b->used) return 0;
    char *end = memmem(b->data, b->used, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = (size_t)(end - b->data) + 4, length = 0;
    for (char *line = b->data; line && line < end; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (!strncasecmp(line, "content-length:", 15)) length = strtoul(line + 15, NULL, 10);
    }
    *body = head;
    return b->used >= head + length ? head + length : 0;
}

static inline void as_many_files_as_allowed(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    signal(SIGPIPE, SIG_IGN);
}

#endif
