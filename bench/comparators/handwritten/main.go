// handwritten is what a good team would write for its own API keys in Go, and no more: one product, one header, the
// rules in the code, every key in memory. What authsvc does on a cache hit is compared with this.
package main

import (
	"flag"
	"log"
	"net"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "host:port to listen at")
	key := flag.String("key", "", "text of a key that is allowed, beside the generated ones")
	count := flag.Int("keys", 10_000, "keys to generate")
	flag.Parse()

	records, err := newStore(2 * (*count + 1))
	if err != nil {
		log.Fatal(err)
	}
	hasher := newHasher([]byte("a pepper of thirty-two bytes, at least"))
	for number := range *count {
		records.put(hasher.digest(generatedKey(number)), newRecord(number))
	}
	records.put(hasher.digest(*key), newRecord(*count))

	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, &door{records: records, hasher: hasher})
	log.Fatal(server.Serve(listener))
}
