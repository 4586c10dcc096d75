package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// Version is that of the documents that this package writes, and the highest that it reads.
const Version = 1

// maxDocument bounds a document that is read, in bytes.
const maxDocument = 4 << 20

// Definition says what a sandbox is made of. Exactly one of File and Text is set.
type Definition struct {
	Version int       `json:"version"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	File    *File     `json:"file,omitempty"`
	// Text is a configuration, in JSON syntax, with one sandbox block: what flags were made into.
	Text string `json:"text,omitempty"`
	// HostEnv names variables of Text that are taken, each time, from the environment variables of the same name.
	HostEnv []string `json:"host_env,omitempty"`
}

// File is a sandbox block, and what its file is loaded with. Values of sensitive variables are not in Vars.
type File struct {
	Path     string   `json:"path"` // absolute
	Block    string   `json:"block"`
	Vars     []string `json:"vars,omitempty"`      // name=value
	VarFiles []string `json:"var_files,omitempty"` // absolute
}

// State is what a sandbox does.
type State string

// States.
const (
	Starting State = "starting"
	Running  State = "running"
	Stopping State = "stopping"
	Stopped  State = "stopped" // by request
	Dead     State = "dead"    // it ended by itself, its shim was killed, or it did not start: Error says which
)

// alive tells whether somebody must be holding the lock of a sandbox in this state.
func (s State) alive() bool { return s == Starting || s == Running || s == Stopping }

// Instance is what became of a sandbox since it was last started.
type Instance struct {
	Version     int           `json:"version"`
	State       State         `json:"state"`
	PID         int           `json:"pid"`                    // of the shim
	RuntimeDir  string        `json:"runtime_dir,omitempty"`  // of its socket
	Token       []byte        `json:"token,omitempty"`        // authorises calls at the socket
	AgentSocket string        `json:"agent_socket,omitempty"` // host's socket of the guest's vsock ports; only for a VM
	AgentToken  []byte        `json:"agent_token,omitempty"`  // authorises calls at the agent's port
	Backend     string        `json:"backend,omitempty"`
	Accelerator string        `json:"accelerator,omitempty"`
	Image       string        `json:"image,omitempty"`
	ImageID     string        `json:"image_id,omitempty"` // digest of what the name stood for
	CPUs        int           `json:"cpus,omitempty"`
	MemoryBytes uint64        `json:"memory_bytes,omitempty"`
	Started     time.Time     `json:"started,omitzero"`
	Ended       time.Time     `json:"ended,omitzero"`
	Main        *sandbox.Exit `json:"main,omitempty"`  // set once the main process has ended
	Error       string        `json:"error,omitempty"` // why it is dead
}

// socketName is the shim's socket in its runtime directory.
const socketName = "shim"

// Socket is where the shim serves.
func (i Instance) Socket() string { return filepath.Join(i.RuntimeDir, socketName) }

// Names of what is in a sandbox's directory.
const (
	definitionFile = "definition.json"
	instanceFile   = "instance.json"
	lockFile       = "lock"
	logFile        = "log"
	outputFile     = "output"
	consoleFile    = "console"
)

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// CheckName demands a name that can be a directory's, and cannot be taken for a path or a flag.
func CheckName(name string) error {
	if !namePattern.MatchString(name) {
		return errdef.New(errdef.ErrInvalid, "%.80q cannot be the name of a sandbox", name).
			WithRemedy("a name has letters, digits, \"-\", \"_\" and \".\", begins with a letter or digit, and is at most 63 bytes long")
	}
	return nil
}

// Check demands a definition that can be started.
func (d Definition) Check() error {
	if err := CheckName(d.Name); err != nil {
		return err
	}
	if (d.File == nil) == (d.Text == "") {
		return errdef.New(errdef.ErrInvalid, "the definition of %s needs a file or a text, and not both", d.Name)
	}
	return nil
}

// versioned is what all documents have in common.
type versioned struct {
	Version int `json:"version"`
}

// decode reads a document of a version that is known.
func decode(data []byte, into any) error {
	var v versioned
	if err := json.Unmarshal(data, &v); err != nil {
		return errdef.New(errdef.ErrDataLoss, "not a document of a sandbox: %w", err)
	}
	if v.Version < 1 || v.Version > Version {
		return errdef.New(errdef.ErrUnsupported, "version %d is not known to this voidbox, which knows %d", v.Version, Version).
			WithReason("handle_version").WithRemedy("use the voidbox that made the sandbox")
	}
	if err := json.Unmarshal(data, into); err != nil {
		return errdef.New(errdef.ErrDataLoss, "not a document of a sandbox: %w", err)
	}
	return nil
}

func readDocument(dir, name string, into any) error {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > maxDocument {
		return errdef.New(errdef.ErrDataLoss, "%s is no document of a sandbox: %s of %d bytes", path, info.Mode(), info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := decode(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// writeDocument puts a document in place whole: a reader sees the old one or the new.
func writeDocument(dir, name string, document any) (err error) {
	data, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}

// readInstance reads what became of a sandbox. One that was never started is Stopped.
func readInstance(dir string) (Instance, error) {
	var i Instance
	err := readDocument(dir, instanceFile, &i)
	if errors.Is(err, fs.ErrNotExist) {
		return Instance{Version: Version, State: Stopped}, nil
	}
	return i, err
}
