/* The kernel's side of the benchmarks: plain programs on kernel sockets, fast enough not to be what is measured.
 *
 *   load echo PORT                                   echoes one connection after the other
 *   load rtt ADDRESS PORT COUNT SIZE                 round trips of one connection: {"median_us", "p99_us", ...}
 *   load answer PORT SIZE                            answers SIZE bytes with as many, until killed
 *   load connect ADDRESS PORT SECONDS AT_ONCE SIZE   connect, SIZE bytes, SIZE bytes, close: {"connections", ...}
 *   load fill ADDRESS PORT SECONDS                   sends: {"bytes", "wall"} once the other end has closed
 *   load drain PORT                                  receives one connection after the other: {"bytes", "wall"} each
 *
 * Each prints one line of JSON when it is ready ({"ready": true}, servers) and one when it has something to report.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BULK (1 << 20)

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static struct sockaddr_in place(const char *address, const char *port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1) die(address);
    return to;
}

static void no_delay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static int listening(const char *port, int flags) {
    struct sockaddr_in at = place("0.0.0.0", port);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | flags, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 4096)) die("listen");
    printf("{\"ready\": true}\n");
    fflush(stdout);
    return fd;
}

static int connected(const char *address, const char *port) {
    struct sockaddr_in to = place(address, port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) die("connect");
    no_delay(fd);
    return fd;
}

static void echo(char **argv) {
    static char data[65536];
    int server = listening(argv[0], 0);
    for (;;) {
        int fd = accept(server, NULL, NULL);
        ssize_t n;
        if (fd < 0) die("accept");
        no_delay(fd);
        while ((n = read(fd, data, sizeof data)) > 0)
            if (write(fd, data, n) != n) break;
        close(fd);
    }
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void rtt(char **argv) {
    int count = atoi(argv[2]), size = atoi(argv[3]), fd = connected(argv[0], argv[1]), warm = count / 20;
    double *times = calloc(count, sizeof *times), sum = 0;
    char *data = calloc(1, size);
    for (int i = -warm; i < count; i++) {
        double start = now();
        int got = 0;
        if (write(fd, data, size) != size) die("write");
        while (got < size) {
            ssize_t n = read(fd, data + got, size - got);
            if (n <= 0) die("read");
            got += n;
        }
        if (i >= 0) sum += times[i] = (now() - start) * 1e6;
    }
    qsort(times, count, sizeof *times, by_value);
    printf("{\"median_us\": %.3f, \"p99_us\": %.3f, \"mean_us\": %.3f}\n", times[count / 2], times[count * 99 / 100],
           sum / count);
}

static void watch(int poll, int fd, unsigned events, int how) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(poll, how, fd, &event)) die("epoll_ctl");
}

static void answer(char **argv) {
    static char data[65536];
    int size = atoi(argv[1]), server = listening(argv[0], SOCK_NONBLOCK), poll = epoll_create1(0);
    struct epoll_event events[256];
    watch(poll, server, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        int n = epoll_wait(poll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == server) {
                while ((fd = accept4(server, NULL, NULL, SOCK_NONBLOCK)) >= 0) watch(poll, fd, EPOLLIN, EPOLL_CTL_ADD);
                continue;
            }
            ssize_t got = read(fd, data, sizeof data);
            if (got > 0) {
                if (got != size || write(fd, data, size) != size) die("answer");
            } else if (got == 0 || errno != EAGAIN) {
                close(fd);
            }
        }
    }
}

struct client {
    double begun;
    int got;
};

static int opened(int poll, struct sockaddr_in *to, struct client *clients) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) die("socket");
    no_delay(fd);
    if (connect(fd, (struct sockaddr *)to, sizeof *to) && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    clients[fd] = (struct client){now(), -1};
    watch(poll, fd, EPOLLOUT, EPOLL_CTL_ADD);
    return fd;
}

static void connect_often(char **argv) {
    enum { MOST = 20000 };
    static struct client clients[MOST];
    static char data[65536];
    struct sockaddr_in to = place(argv[0], argv[1]);
    double seconds = atof(argv[2]), start = now(), end = start + seconds, slowest = 0;
    int at_once = atoi(argv[3]), size = atoi(argv[4]), poll = epoll_create1(0), open = 0;
    long done = 0, failed = 0;
    struct epoll_event events[256];
    for (;;) {
        while (open < at_once && now() < end) {
            if (opened(poll, &to, clients) < 0) {
                failed++;
                break;
            }
            open++;
        }
        if (!open) break;
        int n = epoll_wait(poll, events, 256, 3000);
        if (n == 0) {
            failed += open;
            break;
        }
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd, over = 0;
            struct client *client = &clients[fd];
            if (client->got < 0) { /* connected, or not */
                client->got = 0;
                if (write(fd, data, size) == size)
                    watch(poll, fd, EPOLLIN, EPOLL_CTL_MOD);
                else
                    over = 2;
            } else {
                ssize_t got = read(fd, data, sizeof data);
                if (got <= 0)
                    over = 2;
                else if ((client->got += got) >= size)
                    over = 1;
            }
            if (over) {
                if (over == 1)
                    done++;
                else
                    failed++;
                if (now() - client->begun > slowest) slowest = now() - client->begun;
                close(fd);
                open--;
            }
        }
    }
    printf("{\"connections\": %ld, \"failed\": %ld, \"wall\": %.6f, \"slowest_ms\": %.3f}\n", done, failed,
           now() - start, slowest * 1e3);
}

static void fill(char **argv) {
    char *data = calloc(1, BULK);
    int fd = connected(argv[0], argv[1]);
    double start = now(), end = start + atof(argv[2]);
    long long bytes = 0;
    while (now() < end) {
        ssize_t n = write(fd, data, BULK);
        if (n < 0) die("write");
        bytes += n;
    }
    shutdown(fd, SHUT_WR);
    if (read(fd, data, 1) < 0) die("read");
    printf("{\"bytes\": %lld, \"wall\": %.6f}\n", bytes, now() - start);
}

static void drain(char **argv) {
    char *data = malloc(BULK);
    int server = listening(argv[0], 0);
    for (;;) {
        int fd = accept(server, NULL, NULL);
        double start = now();
        long long bytes = 0;
        ssize_t n;
        while ((n = read(fd, data, BULK / 4)) > 0) bytes += n;
        printf("{\"bytes\": %lld, \"wall\": %.6f, \"failed\": %d}\n", bytes, now() - start, n < 0);
        fflush(stdout);
        close(fd);
    }
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int arguments;
        void (*run)(char **);
    } works[] = {{"echo", 1, echo},           {"rtt", 4, rtt},   {"answer", 2, answer},
                 {"connect", 5, connect_often}, {"fill", 3, fill}, {"drain", 1, drain}};
    for (size_t i = 0; i < sizeof works / sizeof *works; i++)
        if (argc == works[i].arguments + 2 && !strcmp(argv[1], works[i].name)) {
            works[i].run(argv + 2);
            return 0;
        }
    fprintf(stderr, "usage: see load.c\n");
    return 2;
}
