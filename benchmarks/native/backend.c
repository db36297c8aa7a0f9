/* A model's endpoint that answers at once, or after a fixed delay: Responses, Chat Completions, /tokenize.
 *
 *   backend PORT [DELAY_MS]          GET /set?delay_ms=N changes the delay while nothing is in flight,
 *                                    GET /set?steps=N&padding=M the script
 *
 * Its script is one tool call (or N, each with M bytes more in its arguments), then a message: a request that holds
 * fewer than N tool outputs is answered with a call of get_weather. Chat requests that ask for token ids get 16 of them.
 * One thread, epoll, keep-alive.
 */
#include "http.h"

struct client {
    int fd;
    unsigned serial; /* tells a closed connection from the next one with the same number */
    struct buffer in, out;
    size_t sent;
};

struct answer_later {
    double due;
    struct client *client;
    unsigned serial;
    char *text;
    size_t length;
};

static int poller;
static double delay;
static int steps = 1;
static struct buffer padding;
static unsigned long answered;
static struct answer_later *line; /* a ring: the delay is the same for all, so first in is first due */
static size_t line_first, line_count, line_room;

static const char USAGE[] = "\"usage\":{\"input_tokens\":50,\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":10,"
                            "\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":60}";

static void close_client(struct client *c) {
    epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, NULL);
    close(c->fd);
    c->fd = -1;
    c->serial++;
    c->in.used = c->out.used = c->sent = 0;
}

static void flush(struct client *c) {
    while (c->sent < c->out.used) {
        ssize_t n = send(c->fd, c->out.data + c->sent, c->out.used - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            struct epoll_event want = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
            epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &want);
            return;
        }
        if (n < 0) {
            close_client(c);
            return;
        }
        c->sent += (size_t)n;
    }
    c->sent = c->out.used = 0;
}

static void send_json(struct client *c, const char *json, size_t length) {
    char head[160];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n", length);
    append(&c->out, head, (size_t)n);
    append(&c->out, json, length);
    flush(c);
}

static void append_text(struct buffer *b, const char *text) { append(b, text, strlen(text)); }

static int holds_at_least(const char *body, const char *word, int count) {
    for (; count > 0; count--) {
        body = strstr(body, word);
        if (!body) return 0;
        body += strlen(word);
    }
    return 1;
}

static void responses_json(struct buffer *b, int call) {
    char text[1400];
    const char *item = call ? "{\"type\":\"function_call\",\"id\":\"fc_%lu\",\"call_id\":\"call_%lu\",\"name\":\"get_weather\","
                              "\"status\":\"completed\",\"arguments\":\"{\\\"city\\\":\\\"Lisbon"
                            : "{\"type\":\"message\",\"id\":\"msg_%lu\",\"role\":\"assistant\",\"status\":\"completed\",\"content\":"
                              "[{\"type\":\"output_text\",\"text\":\"It is mild (%lu).\",\"annotations\":[]}]}";
    char output[400];
    snprintf(output, sizeof output, item, answered, answered);
    int n = snprintf(text, sizeof text,
                     "{\"id\":\"resp_%lu\",\"object\":\"response\",\"created_at\":1760000000.0,\"status\":\"completed\","
                     "\"model\":\"bench\",\"error\":null,\"incomplete_details\":null,\"instructions\":null,\"metadata\":{},"
                     "\"output\":[%s",
                     answered, output);
    append(b, text, (size_t)n);
    if (call) {
        append(b, padding.data, padding.used);
        append_text(b, "\\\"}\"}");
    }
    append_text(b, "],\"parallel_tool_calls\":true,\"tool_choice\":\"auto\",\"tools\":[],");
    append_text(b, USAGE);
    append_text(b, "}");
}

static void chat_json(struct buffer *b, int call, int token_ids) {
    char text[600];
    int n = snprintf(text, sizeof text,
                     "{\"id\":\"chatcmpl-%lu\",\"object\":\"chat.completion\",\"created\":1760000000,\"model\":\"bench\",\"choices\":[{"
                     "\"index\":0,\"finish_reason\":\"%s\",\"message\":{\"role\":\"assistant\",",
                     answered, call ? "tool_calls" : "stop");
    append(b, text, (size_t)n);
    n = call ? snprintf(text, sizeof text,
                        "\"content\":null,\"tool_calls\":[{\"id\":\"call_%lu\",\"type\":\"function\",\"function\":{\"name\":"
                        "\"get_weather\",\"arguments\":\"{\\\"city\\\":\\\"Lisbon",
                        answered)
             : snprintf(text, sizeof text, "\"content\":\"It is mild (%lu).\"}", answered);
    append(b, text, (size_t)n);
    if (call) {
        append(b, padding.data, padding.used);
        append_text(b, "\\\"}\"}}]}");
    }
    for (int i = 0; token_ids && i < 16; i++) {
        n = snprintf(text, sizeof text,
                     "%s{\"token\":\"token_id:%d\",\"logprob\":-0.25,\"bytes\":null,\"top_logprobs\":[]}",
                     i ? "," : ",\"logprobs\":{\"content\":[", 1000 + i);
        append(b, text, (size_t)n);
    }
    if (token_ids) append(b, "]}", 2);
    static const char END[] = "}],\"usage\":{\"prompt_tokens\":50,\"completion_tokens\":10,\"total_tokens\":60}}";
    append(b, END, sizeof END - 1);
}

static void tokens_json(struct buffer *b) {
    static const char START[] = "{\"count\":64,\"max_model_len\":32768,\"tokens\":[";
    append(b, START, sizeof START - 1);
    for (int i = 0; i < 64; i++) {
        char number[16];
        int n = snprintf(number, sizeof number, "%s%d", i ? "," : "", 2000 + i);
        append(b, number, (size_t)n);
    }
    append(b, "]}", 2);
}

static void enqueue(struct client *c, const struct buffer *json) {
    if (line_count == line_room) {
        size_t room = line_room ? line_room * 2 : 1024;
        struct answer_later *wider = malloc(room * sizeof *wider);
        if (!wider) die("malloc");
        for (size_t i = 0; i < line_count; i++) wider[i] = line[(line_first + i) % line_room];
        free(line);
        line = wider;
        line_room = room;
        line_first = 0;
    }
    char *copy = malloc(json->used);
    if (!copy) die("malloc");
    memcpy(copy, json->data, json->used);
    line[(line_first + line_count++) % line_room] =
        (struct answer_later){now() + delay, c, c->serial, copy, json->used};
}

static int send_due(void) { /* milliseconds until the next one, -1 for none */
    while (line_count) {
        struct answer_later *next = &line[line_first];
        double left = next->due - now();
        if (left > 0) return (int)(left * 1000) + 1;
        if (next->client->serial == next->serial) send_json(next->client, next->text, next->length);
        free(next->text);
        line_first = (line_first + 1) % line_room;
        line_count--;
    }
    return -1;
}

static void answer(struct client *c, const char *body) {
    static struct buffer json;
    const char *path = strchr(c->in.data, ' ') + 1;
    json.used = 0;
    answered++;
    if (!strncmp(path, "/set?delay_ms=", 14)) {
        delay = atof(path + 14) / 1000;
        send_json(c, "{}", 2);
        return;
    }
    if (!strncmp(path, "/set?steps=", 11)) {
        steps = atoi(path + 11);
        int more = atoi(strstr(path, "padding=") + 8);
        for (padding.used = 0; more > 0; more--) append(&padding, "x", 1);
        send_json(c, "{}", 2);
        return;
    }
    if (strstr(path, "/tokenize") && strstr(path, "/tokenize") < strchr(path, ' ')) {
        tokens_json(&json);
        send_json(c, json.data, json.used);
        return;
    }
    if (!strncmp(path, "/v1/chat/", 9))
        chat_json(&json, strstr(body, "\"tools\"") && !holds_at_least(body, "\"tool_call_id\"", steps),
                  strstr(body, "return_tokens_as_token_ids") != NULL);
    else
        responses_json(&json, strstr(body, "\"get_weather\"") && !holds_at_least(body, "\"function_call_output\"", steps));
    if (delay > 0)
        enqueue(c, &json);
    else
        send_json(c, json.data, json.used);
}

static void serve(struct client *c) {
    int open = fill(&c->in, c->fd);
    size_t body, length;
    while (c->fd >= 0 && (length = whole_message(&c->in, &body))) {
        char after = c->in.data[length];
        c->in.data[length] = 0;
        answer(c, c->in.data + body);
        if (c->fd < 0) return;
        c->in.data[length] = after;
        memmove(c->in.data, c->in.data + length, c->in.used - length);
        c->in.used -= length;
    }
    if (!open && c->fd >= 0) close_client(c);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fputs("backend PORT [DELAY_MS]\n", stderr);
        return 2;
    }
    delay = argc > 2 ? atof(argv[2]) / 1000 : 0;
    as_many_files_as_allowed();
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1])),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (void *)&at, sizeof at) || listen(listener, 16384)) die("listen");
    poller = epoll_create1(0);
    struct epoll_event listening = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &listening);
    static struct client *clients[1 << 17]; /* by file number; kept for the next connection of that number */
    for (;;) {
        struct epoll_event events[512];
        int n = epoll_wait(poller, events, 512, send_due());
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (c) {
                if (c->fd >= 0 && events[i].events & EPOLLOUT) flush(c);
                if (c->fd >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) serve(c);
                continue;
            }
            int fd;
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                if (!clients[fd] && !(clients[fd] = calloc(1, sizeof *c))) die("calloc");
                clients[fd]->fd = fd;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                struct epoll_event reading = {.events = EPOLLIN, .data.ptr = clients[fd]};
                epoll_ctl(poller, EPOLL_CTL_ADD, fd, &reading);
            }
        }
    }
}
