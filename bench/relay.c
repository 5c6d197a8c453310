/* What a bridge can be at best: two TAPs, every frame of one written to the other, in one thread.
 *
 *   relay NAME NAME [plain]     makes both TAPs and relays between them until killed; prints {"ready": true}
 *
 * With offloads, unless "plain" is said: frames of many segments pass as they are, with their virtio-net headers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BATCH 64
#define LARGEST (10 + 65535 + 18)

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int tap(const char *name, int plain) {
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | (plain ? 0 : IFF_VNET_HDR)};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) die("/dev/net/tun");
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(fd, TUNSETIFF, &request)) die(name);
    if (!plain && ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)) die("offloads");
    return fd;
}

/* At most a batch; a frame that the other side has no room for is lost, as on a wire. */
static void relay(int from, int to) {
    static char frame[LARGEST];
    for (int i = 0; i < BATCH; i++) {
        ssize_t size = read(from, frame, sizeof frame);
        if (size < 0) {
            if (errno != EAGAIN && errno != EIO && errno != EBADFD) die("read");
            return;
        }
        if (write(to, frame, size) < 0 && errno != EAGAIN && errno != EIO) die("write");
    }
}

int main(int count, char **words) {
    if (count < 3) return 2;
    int plain = count > 3 && !strcmp(words[3], "plain");
    struct pollfd ends[2] = {{.fd = tap(words[1], plain), .events = POLLIN}, {.fd = tap(words[2], plain), .events = POLLIN}};
    printf("{\"ready\": true}\n");
    fflush(stdout);
    while (poll(ends, 2, -1) >= 0 || errno == EINTR)
        for (int i = 0; i < 2; i++)
            if (ends[i].revents) relay(ends[i].fd, ends[1 - i].fd);
    die("poll");
}
