/* libnids counts the bytes of every stream. Arguments: the capture, and how many connections its table holds. */
#include <nids.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned long bytes, connections;

static void tcp(struct tcp_stream *stream, void **user) {
    (void)user;
    if (stream->nids_state == NIDS_JUST_EST) {
        connections++;
        stream->client.collect = stream->server.collect = 1;
    } else if (stream->nids_state == NIDS_DATA) {
        bytes += stream->client.count_new + stream->server.count_new;
    }
}

static void quiet(int kind, int error, struct ip *header, void *data) {
    (void)kind, (void)error, (void)header, (void)data;
}

int main(int argc, char **argv) {
    struct nids_chksum_ctl unchecked = {0, 0, NIDS_DONT_CHKSUM, 0};
    if (argc != 3)
        return 1;
    nids_params.filename = argv[1];
    nids_params.n_tcp_streams = atoi(argv[2]) / 3 * 4 + 64; /* it uses three quarters of its table */
    nids_params.scan_num_hosts = 0;
    nids_params.syslog = quiet;
    if (!nids_init()) {
        fprintf(stderr, "libnids: %s\n", nids_errbuf);
        return 1;
    }
    nids_register_chksum_ctl(&unchecked, 1); /* as the others do: no checksum is looked at */
    nids_register_tcp(tcp);
    nids_run();
    printf("{\"bytes\": %lu, \"connections\": %lu}\n", bytes, connections);
    return 0;
}
