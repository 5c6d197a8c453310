// libtins' StreamFollower counts the bytes of every stream.
#include <cstdio>
#include <tins/tcp_ip/stream_follower.h>
#include <tins/tins.h>

using Tins::TCPIP::Stream;

static unsigned long bytes, connections;

int main(int argc, char **argv) {
    if (argc != 2)
        return 1;
    Tins::TCPIP::StreamFollower follower;
    follower.new_stream_callback([](Stream &stream) {
        connections++;
        stream.client_data_callback([](Stream &s) { bytes += s.client_payload().size(); });
        stream.server_data_callback([](Stream &s) { bytes += s.server_payload().size(); });
    });
    Tins::FileSniffer sniffer(argv[1]);
    sniffer.sniff_loop([&](Tins::PDU &packet) {
        follower.process_packet(packet);
        return true;
    });
    std::printf("{\"bytes\": %lu, \"connections\": %lu}\n", bytes, connections);
    return 0;
}
