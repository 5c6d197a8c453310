/* The floor: libpcap reads every packet of a capture, and nothing is done with them. */
#include <pcap/pcap.h>
#include <stdio.h>

static unsigned long packets, bytes;

static void count(u_char *user, const struct pcap_pkthdr *header, const u_char *data) {
    (void)user, (void)data;
    packets++;
    bytes += header->caplen;
}

int main(int argc, char **argv) {
    char error[PCAP_ERRBUF_SIZE];
    pcap_t *capture = argc == 2 ? pcap_open_offline(argv[1], error) : NULL;
    if (!capture || pcap_loop(capture, -1, count, NULL))
        return 1;
    printf("{\"packets\": %lu, \"captured\": %lu}\n", packets, bytes);
    return 0;
}
