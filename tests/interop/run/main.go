// Runs a command in a session of its own and exits as it did:
//
//	run SOCKET COMMAND [ARGUMENT...]
//
// An example of a client with the bindings that varlink-go's generator makes. varlink-go sends no file descriptors, so
// the command reads and writes /dev/null, and the session ends with this connection.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/varlink/go/varlink"

	session "orgnsrootsession"
)

// run returns what there is to know about a command that has ended.
func run(ctx context.Context, socket string, command []string) (*session.Result, error) {
	c, err := varlink.NewConnection(ctx, "unix:"+socket)
	if err != nil {
		return nil, err
	}
	defer c.Close()

	receive, err := session.Run().Send(ctx, c, varlink.More,
		nil, &command, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil)
	if err != nil {
		return nil, err
	}
	for {
		s, _, _, flags, err := receive(ctx)
		if err != nil {
			return nil, err
		}
		if flags&varlink.Continues == 0 {
			return s.Result, nil
		}
	}
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: run SOCKET COMMAND [ARGUMENT...]")
	}
	result, err := run(context.Background(), os.Args[1], os.Args[2:])
	var notFound *session.CommandNotFound
	if errors.As(err, &notFound) {
		fmt.Fprintf(os.Stderr, "there is no %s\n", notFound.Path)
		os.Exit(127)
	}
	if err != nil {
		log.Fatal(err)
	}
	if result.Code == nil {
		log.Fatalf("the command did not exit: %s", result.Cause)
	}
	os.Exit(int(*result.Code))
}
