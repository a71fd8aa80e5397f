// empty answers every Check with the same OK: what grpc-go itself costs.
package main

import (
	"context"
	"flag"
	"log"
	"net"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
)

type door struct {
	authv3.UnimplementedAuthorizationServer
}

// Shared by all calls: it is only ever read.
var answer = &authv3.CheckResponse{
	Status:       &status.Status{},
	HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
}

func (door) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return answer, nil
}

func main() {
	address := flag.String("address", "127.0.0.1:0", "host:port to listen at")
	flag.Parse()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, door{})
	log.Fatal(server.Serve(listener))
}
