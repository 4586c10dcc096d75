// Command init is PID 1 of the VMs in which package boot is tested: it says what it finds, then ends the VM as the command line
// (act=...) asks.
package main

import (
	"fmt"
	"log"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if err := prepare(); err != nil {
		log.Fatal(err)
	}
	log.SetFlags(0)
	memory, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		log.Fatal(err)
	}
	total := strings.Fields(string(memory))[1]
	extra, _ := os.ReadFile("/segment") // of a second archive
	log.Printf("init: cpus=%d kib=%s segment=%s", runtime.NumCPU(), total, extra)
	for _, line := range interrupts("ttyS0", "ACPI:Ged") {
		log.Printf("init: interrupt %s", line)
	}
	if err := act(os.Getenv("act")); err != nil {
		log.Fatal(err)
	}
}

// prepare mounts what is needed and makes the console our output, since the initramfs has no /dev/console.
func prepare() error {
	for path, kind := range map[string]string{"/dev": "devtmpfs", "/proc": "proc"} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(kind, path, kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", path, err)
		}
	}
	console, err := os.OpenFile("/dev/console", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	log.SetOutput(console)
	return nil
}

// interrupts returns the lines of /proc/interrupts that end with one of the names.
func interrupts(names ...string) (lines []string) {
	b, err := os.ReadFile("/proc/interrupts")
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		for _, name := range names {
			if strings.HasSuffix(line, name) {
				lines = append(lines, strings.Join(strings.Fields(line), " "))
			}
		}
	}
	return lines
}

func act(what string) error {
	switch what {
	case "off":
		return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	case "reboot":
		return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	case "panic":
		os.Exit(1) // the kernel panics when PID 1 ends
	case "button":
		return awaitButton()
	case "flood":
		line := []byte(strings.Repeat("x", 1023) + "\n")
		for {
			if _, err := log.Writer().Write(line); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("act=%s is unknown", what)
}

// awaitButton waits until the event device has had an interrupt. Whom the kernel tells of it, and how, is up to its driver for the
// button; where that is a signal to PID 1, Go's runtime passes it over.
func awaitButton() error {
	before := fmt.Sprint(interrupts("ACPI:Ged"))
	log.Print("init: waiting for the button")
	for fmt.Sprint(interrupts("ACPI:Ged")) == before {
		time.Sleep(time.Millisecond)
	}
	log.Print("init: the button was pressed")
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
