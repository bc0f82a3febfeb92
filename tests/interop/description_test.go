package interop

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/varlink/go/varlink/idl"
)

// https://varlink.org/Interface-Definition, where varlink-go's own reader takes more than that.
var (
	memberName = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	fieldName  = regexp.MustCompile(`^[A-Za-z](_?[A-Za-z0-9])*$`)
)

// read parses a description, and says what is wrong with it.
func read(description string) (faults []string) {
	i, err := idl.New(description)
	if err != nil {
		return []string{err.Error()}
	}
	defined := map[string]bool{}
	for _, alias := range i.Aliases {
		defined[alias.Name] = true
	}
	member := func(name string, types ...*idl.Type) {
		if !memberName.MatchString(name) {
			faults = append(faults, "a member named "+name)
		}
		for _, t := range types {
			faults = append(faults, typeFaults(t, defined, name)...)
		}
	}
	for _, alias := range i.Aliases {
		member(alias.Name, alias.Type)
	}
	for _, method := range i.Methods {
		member(method.Name, method.In, method.Out)
	}
	for _, e := range i.Errors {
		member(e.Name, e.Type)
	}
	return faults
}

func typeFaults(t *idl.Type, defined map[string]bool, where string) (faults []string) {
	switch {
	case t == nil:
		return []string{where + " has no type"}
	case t.Kind == idl.TypeAlias && !defined[t.Alias]:
		return []string{fmt.Sprintf("%s is a %s, which is not defined", where, t.Alias)}
	case t.ElementType != nil:
		return typeFaults(t.ElementType, defined, where)
	}
	seen := map[string]bool{}
	for _, field := range t.Fields {
		name := where + "." + field.Name
		if !fieldName.MatchString(field.Name) {
			faults = append(faults, name+" is no name of a field")
		}
		if seen[field.Name] {
			faults = append(faults, name+" is there twice")
		}
		seen[field.Name] = true
		if (field.Type == nil) != (t.Kind == idl.TypeEnum) {
			faults = append(faults, name+" mixes names and fields")
		} else if field.Type != nil {
			faults = append(faults, typeFaults(field.Type, defined, name)...)
		}
	}
	return faults
}

func TestDescriptionsAreOfTheGrammar(t *testing.T) {
	for name, description := range descriptions {
		for _, fault := range read(description) {
			t.Errorf("%s: %s", name, fault)
		}
		if interfaces[name].Name != name {
			t.Errorf("%s says it is %s", name, interfaces[name].Name)
		}
	}
}

// Each line of this is broken in one way, to see that it would be noticed in what is served.
func TestBrokenDescriptionsAreNoticed(t *testing.T) {
	good := descriptions["org.nsroot.session"]
	for broken, change := range map[string][2]string{
		"no interface":          {"interface org.nsroot.session", ""},
		"no keyword":            {"interface org", "Interface org"},
		"upper-case interface":  {"org.nsroot.session", "org.Nsroot.session"},
		"interface without dot": {"org.nsroot.session", "session"},
		"unknown keyword":       {"type State", "kind State"},
		"type twice":            {"type Usage (", "type Session ("},
		"method twice":          {"method Pause(", "method Resume("},
		"error twice":           {"error NoSuchRoot (", "error NoSuchUser ("},
		"type and error":        {"error NoSuchRoot (", "error Session ("},
		"lower-case type":       {"type State (", "type state ("},
		"lower-case method":     {"method Wait(", "method wait("},
		"lower-case error":      {"error Refused (", "error refused ("},
		"dash in an enum":       {"timedOut", "timed-out"},
		"comma ends an enum":    {"paused, exited)", "paused, exited,)"},
		"comma ends a struct":   {"(rule: string)", "(rule: string,)"},
		"no comma":              {"(step: string, detail", "(step: string detail"},
		"two commas":            {"(step: string, detail", "(step: string,, detail"},
		"a type is missing":     {"(rule: string)", "(rule: )"},
		"a colon is missing":    {"(rule: string)", "(rule string)"},
		"a name in a struct":    {"(step: string, detail", "(step: string, other, detail"},
		"a field in an enum":    {"(starting, running", "(starting, running: bool"},
		"an undefined type":     {"limits: ?Limits", "limits: ?Limit"},
		"an unknown basic type": {"(rule: string)", "(rule: text)"},
		"null or null":          {"limits: ?Limits", "limits: ??Limits"},
		"array after its type":  {"arguments: []string", "arguments: string[]"},
		"map of integers":       {"arguments: []string", "arguments: [int]string"},
		"field twice":           {"(pid: int, pidfdId: ?int", "(pid: int, pid: ?int"},
		"name twice in an enum": {"(starting, running", "(starting, starting"},
		"underscore first":      {"(rule: string)", "(_rule: string)"},
		"underscore last":       {"(rule: string)", "(rule_: string)"},
		"digit first":           {"(rule: string)", "(1rule: string)"},
		"no arrow":              {"method Pause(id: string) ->", "method Pause(id: string)"},
		"half an arrow":         {"method Pause(id: string) ->", "method Pause(id: string) >"},
		"no reply":              {"method Pause(id: string) -> ()", "method Pause(id: string) ->"},
		"error without type":    {"error NoTerminal ()", "error NoTerminal"},
		"semicolon":             {"error NoTerminal ()", "error NoTerminal ();"},
		"never closed":          {"error Refused (rule: string)", "error Refused (rule: string"},
		"other comments":        {"# Why a session", "// Why a session"},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Errorf("%s: there is no %q to break", broken, change[0])
		} else if len(read(bad)) == 0 {
			t.Errorf("%s: not noticed", broken)
		}
	}
}
