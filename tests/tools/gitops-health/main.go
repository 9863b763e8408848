// Tells how three readers take the health of Kubernetes objects.
//
// The first line of stdin is {"lua": ..., "inProgress": ..., "failed": ..., "current": ...}: a health script as Argo CD runs
// it, and health expressions as Flux evaluates them. Each further line is an object. For each, a line on stdout is
// {"kstatus": ..., "argo": ..., "flux": ...}.
//
// kstatus is the library itself. Argo CD gives its script the object as obj, without the os and io libraries, and takes
// status and message of the table that it returns. Flux evaluates by its RFC 0009: a status.observedGeneration that is not
// metadata.generation is in progress, then the first of inProgress, failed and current that is true, else in progress.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

const longestLine = 1 << 20

type readers struct {
	Lua        string `json:"lua"`
	InProgress string `json:"inProgress"`
	Failed     string `json:"failed"`
	Current    string `json:"current"`
}

type verdict struct {
	Kstatus string `json:"kstatus"`
	Argo    string `json:"argo"`
	Flux    string `json:"flux"`
}

type expression struct {
	source string
	result string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gitops-health:", err)
		os.Exit(1)
	}
}

func run() error {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longestLine)
	if !lines.Scan() {
		return fmt.Errorf("stdin is empty")
	}
	var given readers
	if err := json.Unmarshal(lines.Bytes(), &given); err != nil {
		return fmt.Errorf("the first line: %w", err)
	}
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var object unstructured.Unstructured
		if err := object.UnmarshalJSON(lines.Bytes()); err != nil {
			return fmt.Errorf("an object: %w", err)
		}
		computed, err := status.Compute(&object)
		if err != nil {
			return fmt.Errorf("kstatus: %w", err)
		}
		argo, err := argo(given.Lua, object.Object)
		if err != nil {
			return fmt.Errorf("the health script: %w", err)
		}
		flux, err := flux(given, &object)
		if err != nil {
			return fmt.Errorf("the health expressions: %w", err)
		}
		if err := out.Encode(verdict{string(computed.Status), argo, flux}); err != nil {
			return err
		}
	}
	return lines.Err()
}

func argo(script string, object map[string]any) (string, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
		{lua.StringLibName, lua.OpenString},
	} {
		state.Push(state.NewFunction(library.open))
		state.Push(lua.LString(library.name))
		state.Call(1, 0)
	}
	state.SetGlobal("obj", value(state, object))
	if err := state.DoString(script); err != nil {
		return "", err
	}
	health, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return "", fmt.Errorf("it returns no table")
	}
	return health.RawGetString("status").String(), nil
}

func value(state *lua.LState, of any) lua.LValue {
	switch of := of.(type) {
	case map[string]any:
		table := state.NewTable()
		for key, member := range of {
			table.RawSetString(key, value(state, member))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, item := range of {
			table.Append(value(state, item))
		}
		return table
	case string:
		return lua.LString(of)
	case bool:
		return lua.LBool(of)
	case int64:
		return lua.LNumber(of)
	case float64:
		return lua.LNumber(of)
	default:
		return lua.LNil
	}
}

func flux(given readers, object *unstructured.Unstructured) (string, error) {
	observed, found, err := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	if err != nil {
		return "", err
	}
	if found && observed != object.GetGeneration() {
		return "InProgress", nil
	}
	for _, expression := range []expression{
		{given.InProgress, "InProgress"},
		{given.Failed, "Failed"},
		{given.Current, "Current"},
	} {
		is, err := holds(expression.source, object.Object)
		if err != nil {
			return "", fmt.Errorf("%s: %w", expression.result, err)
		}
		if is {
			return expression.result, nil
		}
	}
	return "InProgress", nil
}

// The members of the object are the variables, as in Flux.
func holds(source string, object map[string]any) (bool, error) {
	options := []cel.EnvOption{ext.Strings()}
	for name := range object {
		options = append(options, cel.Variable(name, cel.DynType))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return false, err
	}
	ast, issues := env.Compile(source)
	if issues.Err() != nil {
		return false, issues.Err()
	}
	program, err := env.Program(ast)
	if err != nil {
		return false, err
	}
	result, _, err := program.Eval(object)
	if err != nil {
		return false, err
	}
	is, ok := result.Value().(bool)
	if !ok {
		return false, fmt.Errorf("%q is no boolean", source)
	}
	return is, nil
}
