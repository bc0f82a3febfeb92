package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/varlink/go/varlink/idl"
)

// A conversation is what goes over one connection. The library drops what it cannot decode without a word; here every
// reply is held against the description of its method.
type conversation struct {
	t *testing.T
	sync.Mutex
	open []call // the calls that still have replies to come, in their order
}

type call struct {
	Method string `json:"method"`
	More   bool   `json:"more"`
	Oneway bool   `json:"oneway"`
}

type reply struct {
	Parameters interface{} `json:"parameters"`
	Continues  bool        `json:"continues"`
	Error      string      `json:"error"`
}

// overhear returns the path of a socket that leads to another one.
func overhear(t *testing.T, socket string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	v := &conversation{t: t}
	done := sync.WaitGroup{}
	done.Add(2)
	// The first to be cleaned up is what was opened last: the client's end, and with it both directions.
	t.Cleanup(done.Wait)
	go func() {
		defer done.Done()
		client, err := listener.Accept()
		listener.Close()
		if err != nil {
			return
		}
		go func() {
			defer done.Done()
			defer client.Close()
			forward(server, client, v.hearReply)
		}()
		defer server.Close()
		forward(client, server, v.hearCall)
	}()
	return path
}

// forward passes messages on, one by one, and shows them before.
func forward(from, to net.Conn, hear func([]byte)) {
	reader := bufio.NewReader(from)
	for {
		message, err := reader.ReadBytes(0)
		if err != nil {
			return
		}
		hear(message[:len(message)-1])
		if _, err := to.Write(message); err != nil {
			return
		}
	}
}

func (v *conversation) hearCall(message []byte) {
	var c call
	if err := json.Unmarshal(message, &c); err != nil {
		v.t.Errorf("varlink-go calls %s: %v", message, err)
	}
	if !c.Oneway {
		v.Lock()
		defer v.Unlock()
		v.open = append(v.open, c)
	}
}

func (v *conversation) hearReply(message []byte) {
	v.Lock()
	defer v.Unlock()
	if len(v.open) == 0 {
		v.t.Errorf("nobody asked for %s", message)
		return
	}
	c := v.open[0]
	for _, fault := range faults(c, message) {
		v.t.Errorf("%s: %s in %s", c.Method, fault, message)
	}
	var r reply
	if json.Unmarshal(message, &r) != nil || !r.Continues {
		v.open = v.open[1:]
	}
}

// faults says what is wrong with a reply to a call.
func faults(c call, message []byte) []string {
	decoder := json.NewDecoder(bytes.NewReader(message))
	decoder.UseNumber()
	decoder.DisallowUnknownFields()
	var r reply
	if err := decoder.Decode(&r); err != nil {
		return []string{err.Error()}
	}
	if r.Continues && (!c.More || r.Error != "") {
		return []string{"an unexpected `continues`"}
	}
	member := c.Method
	if r.Error != "" {
		member = r.Error
	}
	dot := strings.LastIndexByte(member, '.')
	i := interfaces[member[:dot]]
	if i == nil {
		return []string{"an interface that the service does not have"}
	}
	shape := shapeOf(i, member[dot+1:], r.Error != "")
	if shape == nil {
		return []string{member + ", which is not described,"}
	}
	return mismatches(i, shape, r.Parameters, "parameters")
}

// shapeOf finds what a method answers, or what an error comes with.
func shapeOf(i *idl.IDL, name string, isError bool) *idl.Type {
	for _, e := range i.Errors {
		if isError && e.Name == name {
			return e.Type
		}
	}
	for _, m := range i.Methods {
		if !isError && m.Name == name {
			return m.Out
		}
	}
	return nil
}

// mismatches compares a value, decoded with numbers as json.Number, with the type it should have.
func mismatches(i *idl.IDL, want *idl.Type, value interface{}, path string) (found []string) {
	fits := false
	switch want.Kind {
	case idl.TypeMaybe:
		if value == nil {
			return nil
		}
		return mismatches(i, want.ElementType, value, path)
	case idl.TypeAlias:
		return mismatches(i, definition(i, want.Alias), value, path)
	case idl.TypeBool:
		_, fits = value.(bool)
	case idl.TypeInt:
		number, isNumber := value.(json.Number)
		_, err := number.Int64()
		fits = isNumber && err == nil
	case idl.TypeString:
		_, fits = value.(string)
	case idl.TypeEnum:
		name, _ := value.(string)
		for _, field := range want.Fields {
			fits = fits || field.Name == name
		}
	case idl.TypeArray:
		var elements []interface{}
		elements, fits = value.([]interface{})
		for n, element := range elements {
			found = append(found, mismatches(i, want.ElementType, element, fmt.Sprintf("%s[%d]", path, n))...)
		}
	case idl.TypeStruct:
		var members map[string]interface{}
		members, fits = value.(map[string]interface{})
		found = wrongMembers(i, want, members, path)
	}
	if !fits {
		found = append(found, fmt.Sprintf("%s is %v", path, value))
	}
	return found
}

func wrongMembers(i *idl.IDL, want *idl.Type, members map[string]interface{}, path string) (found []string) {
	described := map[string]bool{}
	for _, field := range want.Fields {
		described[field.Name] = true
		found = append(found, mismatches(i, field.Type, members[field.Name], path+"."+field.Name)...)
	}
	for name := range members {
		if !described[name] {
			found = append(found, path+"."+name+" is not described")
		}
	}
	return found
}

func definition(i *idl.IDL, name string) *idl.Type {
	for _, alias := range i.Aliases {
		if alias.Name == name {
			return alias.Type
		}
	}
	return nil
}

// What hears nothing wrong could be deaf.
func TestWhatIsNotAsDescribedIsHeard(t *testing.T) {
	list := call{Method: "org.nsroot.root.List"}
	const root = `{"name":"x","kind":"host","cached":true,"sessions":0,"warm":0`
	for said, wrong := range map[string]bool{
		`{"parameters":{"roots":[]}}`:                                               false,
		`{"parameters":{"roots":[` + root + `}]}}`:                                  false,
		`{"parameters":{"roots":[` + root + `,"source":null}]}}`:                    false,
		`{"parameters":{"roots":[` + root + `,"source":1}]}}`:                       true,
		`{"parameters":{"roots":[` + root + `,"more":1}]}}`:                         true,
		`{"parameters":{"roots":[{"name":"x"}]}}`:                                   true,
		`{"parameters":{"roots":[` + strings.Replace(root, "host", "h", 1) + `}]}}`: true,
		`{"parameters":{"roots":[` + strings.Replace(root, "0", "0.5", 1) + `}]}}`:  true,
		`{"parameters":{"roots":[` + strings.Replace(root, "0", `"0"`, 1) + `}]}}`:  true,
		`{"parameters":{"roots":null}}`:                                             true,
		`{"parameters":{}}`:                                                         true,
		`{"parameters":null}`:                                                       true,
		`{}`:                                                                        true,
		`{"parameters":{"roots":[]},"continues":true}`:                              true,
		`{"parameters":{"roots":[]},"more":1}`:                                      true,
		`{"error":"org.nsroot.root.NoSuchRoot","parameters":{"name":"x"}}`:          false,
		`{"error":"org.nsroot.root.NoSuchRoot","parameters":{}}`:                    true,
		`{"error":"org.nsroot.root.Strange","parameters":{}}`:                       true,
		`{"error":"org.example.Strange","parameters":{}}`:                           true,
	} {
		if found := faults(list, []byte(said)); (len(found) > 0) != wrong {
			t.Errorf("%s: %v", said, found)
		}
	}
}
