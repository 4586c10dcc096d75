// Package acpi writes the tables that tell a guest what its machine has: ACPI 6.5, hardware-reduced.
package acpi
