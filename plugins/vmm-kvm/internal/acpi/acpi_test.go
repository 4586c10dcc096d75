package acpi

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/internal/testvm"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/virtio"
)

// load returns the BIOS area after Load.
func load(t *testing.T, m Machine) []byte {
	t.Helper()
	area := make([]byte, layout.HighMemory-layout.BIOSArea)
	mem, err := virtio.NewMemory(virtio.Region{Base: layout.BIOSArea, Data: area})
	if err != nil {
		t.Fatal(err)
	}
	at, err := Load(mem, m)
	if err != nil {
		t.Fatal(err)
	}
	if at%16 != 0 || at < layout.BIOSArea || at >= layout.HighMemory {
		t.Fatalf("RSDP at %#x, where no kernel looks", at)
	}
	return area
}

// tables follows the addresses from the RSDP on, as a kernel does, and returns the tables by signature.
func tables(t *testing.T, area []byte) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	at := func(address uint64) []byte {
		b := area[address-layout.BIOSArea:]
		b = b[:binary.LittleEndian.Uint32(b[4:])]
		if sum := checksum(b); sum != 0 {
			t.Errorf("%s: checksum is off by %#x", b[:4], sum)
		}
		if address%16 != 0 {
			t.Errorf("%s lies at %#x, which is not aligned", b[:4], address)
		}
		found[string(b[:4])] = b
		return b
	}
	root := area[:36]
	if string(root[:8]) != "RSD PTR " || root[15] != 2 || checksum(root[:20]) != 0 || checksum(root) != 0 {
		t.Fatalf("RSDP % x", root)
	}
	list := at(binary.LittleEndian.Uint64(root[24:]))
	for entry := list[36:]; len(entry) > 0; entry = entry[8:] {
		at(binary.LittleEndian.Uint64(entry))
	}
	at(binary.LittleEndian.Uint64(found["FACP"][140:]))
	return found
}

func TestKernelsFindTheTables(t *testing.T) {
	for _, m := range []Machine{{CPUs: 1}, {CPUs: 4, Devices: 3}, {CPUs: MaxCPUs, Devices: layout.MaxDevices}} {
		found := tables(t, load(t, m))
		for _, name := range []string{"XSDT", "FACP", "APIC", "DSDT"} {
			if found[name] == nil {
				t.Errorf("%+v: there is no %s", m, name)
			}
		}
		if n := bytes.Count(found["DSDT"], []byte("LNRO0005")); n != m.Devices {
			t.Errorf("%+v: %d virtio devices", m, n)
		}
		const fixed, cpu, ioapic = 44, 8, 12
		if n := len(found["APIC"]); n != fixed+m.CPUs*cpu+ioapic {
			t.Errorf("%+v: MADT of %d bytes", m, n)
		}
	}
}

func TestMachinesThatTablesCannotDescribe(t *testing.T) {
	area := make([]byte, 64)
	small, err := virtio.NewMemory(virtio.Region{Base: layout.BIOSArea, Data: area})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []Machine{{CPUs: 0}, {CPUs: -1}, {CPUs: 17}, {CPUs: 1, Devices: -1}, {CPUs: 1, Devices: 19}, {CPUs: 1}} {
		if _, err := Load(small, m); err == nil {
			t.Errorf("%+v was accepted", m)
		}
	}
	if !bytes.Equal(area, make([]byte, 64)) {
		t.Error("a failed Load wrote something")
	}
}

// iasl runs Intel's compiler in the directory of its last argument and returns what it says.
func iasl(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("iasl")
	if err != nil {
		message := "iasl is not here to compare with; install Debian's acpica-tools"
		if os.Getenv(testvm.RequireEnv) == "1" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("iasl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// readBody returns the file without a table's header, in which the compiler names itself.
func readBody(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b[headerSize:]
}

func TestDSDTIsWhatIaslCompiles(t *testing.T) {
	out := filepath.Join(t.TempDir(), "dsdt")
	said := iasl(t, "-p", out, filepath.Join("testdata", "dsdt.asl"))
	if !strings.Contains(said, "0 Errors, 0 Warnings, 0 Remarks") {
		t.Errorf("iasl says:\n%s", said)
	}
	if want, got := readBody(t, out+".aml"), dsdt(2); !bytes.Equal(got, want) {
		t.Errorf("AML differs:\n got % x\nwant % x", got, want)
	}
}

// iasl takes every table apart, and puts it together again to the same bytes.
func TestTablesSurviveIasl(t *testing.T) {
	dir := t.TempDir()
	for name, table := range tables(t, load(t, Machine{CPUs: MaxCPUs, Devices: layout.MaxDevices})) {
		path := filepath.Join(dir, name)
		write(t, path+".dat", table)
		said := iasl(t, "-p", path+".dsl", "-d", path+".dat")
		for _, complaint := range []string{"rror", "arning", "nvalid", "ncorrect"} {
			if strings.Contains(said, complaint) {
				t.Errorf("%s: iasl says:\n%s", name, said)
				break
			}
		}
		again := filepath.Join(dir, name+"-again.aml")
		said = iasl(t, "-p", again, path+".dsl")
		if !strings.Contains(said, "0 Errors, 0 Warnings, 0 Remarks") {
			t.Errorf("%s: iasl says:\n%s", name, said)
		}
		if got := readBody(t, again); !bytes.Equal(got, table[headerSize:]) {
			t.Errorf("%s comes back different:\n got % x\nwant % x", name, got, table[headerSize:])
		}
	}
}
