// gopacket's tcpassembly counts the bytes of every stream; a stream is one direction.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/google/gopacket/tcpassembly"
)

var bytes, skipped, streams int

type stream struct{}

func (stream) Reassembled(pieces []tcpassembly.Reassembly) {
	for _, piece := range pieces {
		bytes += len(piece.Bytes)
		if piece.Skip > 0 {
			skipped += piece.Skip
		}
	}
}

func (stream) ReassemblyComplete() {}

type factory struct{}

func (factory) New(network, transport gopacket.Flow) tcpassembly.Stream {
	streams++
	return stream{}
}

func main() {
	file, err := os.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	reader, err := pcapgo.NewReader(bufio.NewReaderSize(file, 1<<18))
	if err != nil {
		panic(err)
	}
	var ethernet layers.Ethernet
	var vlan layers.Dot1Q
	var ip layers.IPv4
	var tcp layers.TCP
	var payload gopacket.Payload
	parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &ethernet, &vlan, &ip, &tcp, &payload)
	assembler := tcpassembly.NewAssembler(tcpassembly.NewStreamPool(factory{}))
	found := make([]gopacket.LayerType, 0, 8)
	for {
		data, info, err := reader.ZeroCopyReadPacketData()
		if err == io.EOF {
			break
		} else if err != nil {
			panic(err)
		}
		if parser.DecodeLayers(data, &found) != nil {
			continue
		}
		for _, layer := range found {
			if layer == layers.LayerTypeTCP {
				assembler.AssembleWithTimestamp(ip.NetworkFlow(), &tcp, info.Timestamp)
			}
		}
	}
	assembler.FlushAll()
	fmt.Printf("{\"bytes\": %d, \"skipped\": %d, \"connections\": %d}\n", bytes, skipped, streams/2)
}
