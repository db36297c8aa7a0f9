/* A closed-loop load driver: CONNECTIONS keep-alive connections, each with one request at a time, COUNT in all.
 *
 *   driver PORT PATH BODIES.jsonl CONNECTIONS COUNT TIMEOUT_S EXPECTED [HEADER]
 *
 * Each line of the file is the body of a POST, with HEADER ("name: value") among its header fields. An answer counts as ok when its status is 200 and it contains EXPECTED.
 * Prints one line of JSON: rate (ok per second), latency percentiles (ms), failures by kind. One thread, epoll.
 */
#include "http.h"

struct link {
    int fd, busy;
    double started;
    const char *request;
    size_t length, sent;
    struct buffer in;
};

static int poller;
static struct sockaddr_in server;
static char **requests;
static size_t *lengths, bodies;
static long wanted, begun, ended, ok, bad_status, bad_body, broken;
static double *latencies;
static const char *expected;

static void watch(struct link *l, int writing) {
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = l};
    if (epoll_ctl(poller, EPOLL_CTL_MOD, l->fd, &event)) epoll_ctl(poller, EPOLL_CTL_ADD, l->fd, &event);
}

static void open_link(struct link *l) {
    int one = 1;
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (l->fd < 0) die("socket");
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(l->fd, (void *)&server, sizeof server) && errno != EINPROGRESS) die("connect");
    l->in.used = 0;
}

static void begin(struct link *l) {
    l->busy = begun < wanted;
    if (!l->busy) return;
    l->request = requests[(size_t)begun % bodies];
    l->length = lengths[(size_t)begun++ % bodies];
    l->sent = 0;
    l->started = now();
    if (l->fd < 0) open_link(l);
    watch(l, 1);
}

static void end(struct link *l, long *counter) {
    if (counter == &ok) latencies[ok] = (now() - l->started) * 1000;
    ++*counter;
    ended++;
    begin(l);
}

static void lose(struct link *l) {
    close(l->fd);
    l->fd = -1;
    if (l->busy) end(l, &broken);
}

static void write_more(struct link *l) {
    while (l->sent < l->length) {
        ssize_t n = send(l->fd, l->request + l->sent, l->length - l->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) {
            lose(l);
            return;
        }
        l->sent += (size_t)n;
    }
    watch(l, 0);
}

static void read_more(struct link *l) {
    int open = fill(&l->in, l->fd);
    size_t body, length = whole_message(&l->in, &body);
    if (length && l->busy) {
        int fine = !strncmp(l->in.data, "HTTP/1.1 200", 12);
        int found = strstr(l->in.data + body, expected) != NULL;
        l->in.used = 0;
        end(l, !fine ? &bad_status : found ? &ok : &bad_body);
    } else if (!open) {
        lose(l);
    }
}

static void load(const char *file, int port, const char *path, const char *header) {
    FILE *lines = fopen(file, "r");
    if (!lines) die(file);
    char *text = NULL;
    size_t room = 0;
    ssize_t n;
    while ((n = getline(&text, &room, lines)) > 1) {
        if (text[n - 1] == '\n') n--;
        requests = realloc(requests, (bodies + 1) * sizeof *requests);
        lengths = realloc(lengths, (bodies + 1) * sizeof *lengths);
        char *request = malloc((size_t)n + strlen(path) + strlen(header) + 256);
        int head = sprintf(request, "POST %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n"
                                    "%s%scontent-length: %zd\r\n\r\n", path, port, header, *header ? "\r\n" : "", n);
        memcpy(request + head, text, (size_t)n);
        requests[bodies] = request;
        lengths[bodies++] = (size_t)head + (size_t)n;
    }
    fclose(lines);
    if (!bodies) exit(2);
}

static int ascending(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double percentile(double share) { return ok ? latencies[(long)((double)(ok - 1) * share)] : -1; }

int main(int argc, char **argv) {
    if (argc != 8 && argc != 9) {
        fputs("driver PORT PATH BODIES.jsonl CONNECTIONS COUNT TIMEOUT_S EXPECTED [HEADER]\n", stderr);
        return 2;
    }
    as_many_files_as_allowed();
    load(argv[3], atoi(argv[1]), argv[2], argc == 9 ? argv[8] : "");
    long connections = atol(argv[4]);
    wanted = atol(argv[5]);
    double limit = atof(argv[6]);
    expected = argv[7];
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    latencies = calloc((size_t)wanted, sizeof *latencies);
    struct link *links = calloc((size_t)connections, sizeof *links);
    poller = epoll_create1(0);
    double started = now();
    for (long i = 0; i < connections; i++) {
        links[i].fd = -1;
        begin(&links[i]);
    }
    while (ended < wanted && now() - started < limit) {
        struct epoll_event events[512];
        int n = epoll_wait(poller, events, 512, 100);
        for (int i = 0; i < n; i++) {
            struct link *l = events[i].data.ptr;
            if (l->fd >= 0 && events[i].events & (EPOLLERR | EPOLLHUP) && !(events[i].events & EPOLLIN)) {
                lose(l);
                continue;
            }
            if (l->fd >= 0 && events[i].events & EPOLLOUT) write_more(l);
            if (l->fd >= 0 && events[i].events & EPOLLIN) read_more(l);
        }
    }
    double took = now() - started;
    qsort(latencies, (size_t)ok, sizeof *latencies, ascending);
    printf("{\"count\":%ld,\"ok\":%ld,\"bad_status\":%ld,\"bad_body\":%ld,\"broken\":%ld,\"unfinished\":%ld,"
           "\"seconds\":%.3f,\"rate\":%.1f,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f}\n",
           wanted, ok, bad_status, bad_body, broken, wanted - ended, took, (double)ok / took, percentile(0.5),
           percentile(0.99), percentile(1));
    return 0;
}
