package interop

import (
	"io/ioutil"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/varlink/go/varlink"
)

// $NSROOT_REGISTRY is a directory with a link for each interface, named after it: /run/varlink/registry. Whoever follows
// one finds a service that has that interface; and what is nsrootd's alone can be found so.
func TestTheRegistryLeadsToTheService(t *testing.T) {
	registry := os.Getenv("NSROOT_REGISTRY")
	links, err := ioutil.ReadDir(registry)
	if err != nil {
		t.Fatal(err)
	}
	var found, want []string
	for _, link := range links {
		if strings.HasPrefix(link.Name(), "org.nsroot.") {
			found = append(found, link.Name())
			follow(t, filepath.Join(registry, link.Name()))
		}
	}
	for name := range interfaces {
		if strings.HasPrefix(name, "org.nsroot.") {
			want = append(want, name)
		}
	}
	sort.Strings(want) // as ReadDir does
	if strings.Join(found, " ") != strings.Join(want, " ") {
		t.Errorf("%s in the registry, not %s", found, want)
	}
}

func follow(t *testing.T, path string) {
	c, err := varlink.NewConnection(ctx, "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var names []string
	if err := c.GetInfo(ctx, nil, nil, nil, nil, &names); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(" "+strings.Join(names, " ")+" ", " "+filepath.Base(path)+" ") {
		t.Errorf("%s leads to a service that has %s", path, names)
	}
}
