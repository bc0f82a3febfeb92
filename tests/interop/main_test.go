// Package interop is a client of nsrootd that its authors did not write: bindings that varlink-go's generator made of
// the descriptions the daemon serves, over varlink-go's library. Compiled to a program, it is run as an ordinary user
// and as root by test_varlink_go.py; $NSROOT_SOCKET is the daemon's socket.
package interop

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/varlink/go/varlink"
	"github.com/varlink/go/varlink/idl"

	service "orgvarlinkservice"
)

const permissionDenied = "org.varlink.service.PermissionDenied"

var (
	socket = os.Getenv("NSROOT_SOCKET")
	asRoot = os.Geteuid() == 0
	ctx    context.Context
	// What the daemon says of itself, by the names of its interfaces.
	descriptions = map[string]string{}
	interfaces   = map[string]*idl.IDL{}
)

func TestMain(m *testing.M) {
	deadline, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ctx = deadline
	if err := describe(); err != nil {
		println(socket, err.Error())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func describe() error {
	c, err := varlink.NewConnection(ctx, "unix:"+socket)
	if err != nil {
		return err
	}
	defer c.Close()
	_, _, _, _, names, err := service.GetInfo().Call(ctx, c)
	if err != nil {
		return err
	}
	for _, name := range names {
		if descriptions[name], err = service.GetInterfaceDescription().Call(ctx, c, name); err != nil {
			return err
		}
		if interfaces[name], err = idl.New(descriptions[name]); err != nil {
			return err
		}
	}
	return nil
}

// connect returns a connection on which every reply has to be as it is described.
func connect(t *testing.T) *varlink.Connection {
	t.Helper()
	c, err := varlink.NewConnection(ctx, "unix:"+overhear(t, socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// forRootOnly holds for a method's error: none for root, and for others that of the method.
func forRootOnly(t *testing.T, err error, refused func(error) bool) bool {
	t.Helper()
	if !asRoot && !refused(err) {
		t.Errorf("an ordinary user gets: %v", err)
	}
	if asRoot && err != nil {
		t.Errorf("root gets: %v", err)
	}
	return asRoot && err == nil
}

// has tells an error by its name alone, for errors that the bindings of an interface have no type for.
func has(name string) func(error) bool {
	return func(err error) bool {
		var e *varlink.Error
		return errors.As(err, &e) && e.Name == name
	}
}
