/* The same ends of a connection as bench/servers.py, on lwIP's raw API over a TAP, one thread, no offloads.
 *
 *   lwip sink|source|echo TAP OWN GATEWAY SECONDS
 *
 * Prints {"ready": true}; a sink or source serves one connection and prints {"bytes", "wall", "cpu"}; an echo goes on
 * until it is killed. The library is Debian's: its options are what lwipopts.h says.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"

#define FRAME 1514
#define BATCH 64
#define IFREQ_SIZE 40 /* struct ifreq: net/if.h can't be had beside lwIP's headers */

static int tap;
static char kind[16];
static double seconds, wall0, cpu0;
static long long bytes;
static int ended;
static const char chunk[262144];

static double wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static err_t transmit(struct netif *netif, struct pbuf *p) {
    static char frame[FRAME];
    (void)netif;
    if (p->len == p->tot_len) return write(tap, p->payload, p->len) < 0 ? ERR_IF : ERR_OK;
    return write(tap, frame, pbuf_copy_partial(p, frame, sizeof frame, 0)) < 0 ? ERR_IF : ERR_OK;
}

static err_t set_up(struct netif *netif) {
    static const u8_t mac[6] = {2, 0, 0, 0, 0, 2};
    netif->name[0] = 't', netif->name[1] = 'p';
    netif->output = etharp_output;
    netif->linkoutput = transmit;
    netif->mtu = 1500;
    netif->hwaddr_len = 6;
    memcpy(netif->hwaddr, mac, 6);
    netif->flags |= NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

static void report(void) {
    printf("{\"bytes\": %lld, \"wall\": %.6f, \"cpu\": %.6f}\n", bytes, wall() - wall0, cpu() - cpu0);
    fflush(stdout);
}

static err_t pump(void *arg, struct tcp_pcb *pcb, u16_t sent) {
    (void)arg, (void)sent;
    if (ended) return ERR_OK;
    if (wall() - wall0 > seconds) {
        ended = 1;
        tcp_shutdown(pcb, 0, 1);
        return ERR_OK;
    }
    while (tcp_sndbuf(pcb) > 0) {
        u16_t size = tcp_sndbuf(pcb);
        if (tcp_write(pcb, chunk, size, 0) != ERR_OK) break;
        bytes += size;
    }
    tcp_output(pcb);
    return ERR_OK;
}

static err_t received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error) {
    (void)arg, (void)error;
    if (p == NULL) {
        if (strcmp(kind, "echo")) report();
        tcp_close(pcb);
        return ERR_OK;
    }
    if (!strcmp(kind, "echo")) {
        for (struct pbuf *q = p; q != NULL; q = q->next) tcp_write(pcb, q->payload, q->len, TCP_WRITE_FLAG_COPY);
        tcp_output(pcb);
    } else {
        bytes += p->tot_len;
    }
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    return ERR_OK;
}

static err_t accepted(void *arg, struct tcp_pcb *pcb, err_t error) {
    (void)arg, (void)error;
    wall0 = wall(), cpu0 = cpu();
    tcp_nagle_disable(pcb);
    tcp_recv(pcb, received);
    if (!strcmp(kind, "source")) {
        tcp_sent(pcb, pump);
        pump(NULL, pcb, 0);
    }
    return ERR_OK;
}

static void open_tap(const char *name) {
    char request[IFREQ_SIZE] = {0};
    short flags = IFF_TAP | IFF_NO_PI;
    strncpy(request, name, 15);
    memcpy(request + 16, &flags, sizeof flags);
    tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (tap < 0 || ioctl(tap, TUNSETIFF, request)) {
        perror(name);
        exit(1);
    }
}

static void run(struct netif *netif) {
    struct pollfd poller = {.fd = tap, .events = POLLIN};
    for (;;) {
        u32_t wait = sys_timeouts_sleeptime();
        poll(&poller, 1, wait > 1000 ? 1000 : (int)wait);
        for (int i = 0; i < BATCH; i++) {
            static char frame[FRAME];
            ssize_t n = read(tap, frame, FRAME);
            if (n <= 0) break;
            /* one piece: the library's pool has buffers of 592 bytes */
            struct pbuf *p = pbuf_alloc(PBUF_RAW, n, PBUF_RAM);
            if (p == NULL) break;
            pbuf_take(p, frame, n);
            if (netif->input(p, netif) != ERR_OK) pbuf_free(p);
        }
        sys_check_timeouts();
    }
}

int main(int argc, char **argv) {
    static struct netif netif;
    ip4_addr_t own, mask, gateway;
    if (argc != 6) return fprintf(stderr, "usage: see lwip.c\n"), 2;
    snprintf(kind, sizeof kind, "%s", argv[1]);
    seconds = atof(argv[5]);
    ip4addr_aton(argv[3], &own), ip4addr_aton("255.255.255.0", &mask), ip4addr_aton(argv[4], &gateway);
    open_tap(argv[2]);
    lwip_init();
    netif_add(&netif, &own, &mask, &gateway, NULL, set_up, ethernet_input);
    netif_set_default(&netif);
    netif_set_up(&netif);
    netif_set_link_up(&netif);
    struct tcp_pcb *server = tcp_new();
    if (tcp_bind(server, IP_ADDR_ANY, 80) != ERR_OK || (server = tcp_listen_with_backlog(server, 255)) == NULL) return 1;
    tcp_accept(server, accepted);
    printf("{\"ready\": true}\n");
    fflush(stdout);
    run(&netif);
}
