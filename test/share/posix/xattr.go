//go:build linux

package posix

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func (t *T) attr(name, attr string) string {
	b := make([]byte, 64<<10)
	n, err := unix.Lgetxattr(t.at(name), attr, b)
	t.must(err)
	return string(b[:n])
}

// attrs lists attributes of users, sorted.
func (t *T) attrs(name string) string {
	b := make([]byte, 64<<10)
	n, err := unix.Llistxattr(t.at(name), b)
	t.must(err)
	var all []string
	for attr := range strings.SplitSeq(string(b[:n]), "\x00") {
		if strings.HasPrefix(attr, "user.") {
			all = append(all, attr)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// xattrCases are about extended attributes (xattr(7)).
func xattrCases(a *area) {
	for _, v := range []struct{ name, value string }{
		{"text", "red"}, {"nothing", ""}, {"a zero byte", "a\x00b"}, {"all bytes", string(pattern(0, 256))}, {"3000 bytes", strings.Repeat("v", 3000)},
	} {
		a.test("xattr/"+v.name, "f d/", func(t *T) {
			for _, name := range []string{"f", "d"} {
				t.must(unix.Setxattr(t.at(name), "user.x", []byte(v.value), 0))
				same(t, "value", t.attr(name, "user.x"), v.value)
				n, err := unix.Getxattr(t.at(name), "user.x", nil)
				t.must(err)
				same(t, "size", n, len(v.value))
				same(t, "list", t.attrs(name), "user.x")
			}
		})
	}
	a.test("xattr/is replaced", "f", func(t *T) {
		for _, value := range []string{"one", "longer than one", "", "x"} {
			t.must(unix.Setxattr(t.at("f"), "user.x", []byte(value), 0))
			same(t, "value", t.attr("f", "user.x"), value)
		}
	})
	a.test("xattr/CREATE", "f", func(t *T) {
		t.must(unix.Setxattr(t.at("f"), "user.x", []byte("1"), unix.XATTR_CREATE))
		t.fails(unix.Setxattr(t.at("f"), "user.x", []byte("2"), unix.XATTR_CREATE), unix.EEXIST)
		same(t, "value", t.attr("f", "user.x"), "1")
	})
	a.test("xattr/REPLACE", "f", func(t *T) {
		t.fails(unix.Setxattr(t.at("f"), "user.x", []byte("1"), unix.XATTR_REPLACE), unix.ENODATA)
		t.must(unix.Setxattr(t.at("f"), "user.x", []byte("1"), 0))
		t.must(unix.Setxattr(t.at("f"), "user.x", []byte("2"), unix.XATTR_REPLACE))
		same(t, "value", t.attr("f", "user.x"), "2")
	})
	a.test("xattr/unknown flags", "f", func(t *T) { t.fails(unix.Setxattr(t.at("f"), "user.x", nil, 64), unix.EINVAL) })
	a.test("xattr/is removed", "f", func(t *T) {
		t.must(unix.Setxattr(t.at("f"), "user.x", []byte("1"), 0))
		t.must(unix.Removexattr(t.at("f"), "user.x"))
		same(t, "list", t.attrs("f"), "")
		_, err := unix.Getxattr(t.at("f"), "user.x", nil)
		t.fails(err, unix.ENODATA)
		t.fails(unix.Removexattr(t.at("f"), "user.x"), unix.ENODATA)
	})
	a.test("xattr/little room for a value", "f", func(t *T) {
		t.must(unix.Setxattr(t.at("f"), "user.x", []byte("value"), 0))
		_, err := unix.Getxattr(t.at("f"), "user.x", make([]byte, 4))
		t.fails(err, unix.ERANGE)
		n, err := unix.Getxattr(t.at("f"), "user.x", make([]byte, 5))
		t.must(err)
		same(t, "size", n, 5)
	})
	a.test("xattr/little room for a list", "f", func(t *T) {
		t.must(unix.Setxattr(t.at("f"), "user.attribute", []byte("1"), 0))
		_, err := unix.Listxattr(t.at("f"), make([]byte, 3))
		t.fails(err, unix.ERANGE)
		n, err := unix.Listxattr(t.at("f"), nil)
		t.must(err)
		if n < len("user.attribute\x00") {
			t.errorf("the list has %d bytes", n)
		}
	})
	a.test("xattr/30 of them", "f", func(t *T) {
		var want []string
		for i := range 30 {
			name := fmt.Sprintf("user.a%02d", i)
			want = append(want, name)
			t.must(unix.Setxattr(t.at("f"), name, []byte(itoa(i)), 0))
		}
		same(t, "list", t.attrs("f"), strings.Join(want, " "))
		same(t, "value", t.attr("f", "user.a17"), "17")
	})
	a.test("xattr/a name of 255 bytes", "f", func(t *T) {
		name := "user." + strings.Repeat("n", 250)
		t.must(unix.Setxattr(t.at("f"), name, []byte("1"), 0))
		same(t, "value", t.attr("f", name), "1")
		t.fails(unix.Setxattr(t.at("f"), name+"n", []byte("1"), 0), unix.ERANGE)
	})
	a.test("xattr/no name behind the prefix", "f", func(t *T) { t.fails(unix.Setxattr(t.at("f"), "user.", nil, 0), unix.EINVAL) })
	a.test("xattr/no name", "f", func(t *T) { t.fails(unix.Setxattr(t.at("f"), "", nil, 0), unix.ERANGE) })
	a.test("xattr/no such prefix", "f", func(t *T) { t.fails(unix.Setxattr(t.at("f"), "voidbox.x", nil, 0), unix.EOPNOTSUPP) })
	a.test("xattr/too large", "f", func(t *T) {
		t.fails(unix.Setxattr(t.at("f"), "user.x", make([]byte, 64<<10+1), 0), unix.E2BIG)
		same(t, "list", t.attrs("f"), "")
	})
	a.test("xattr/more than fits", "f", func(t *T) {
		err := unix.Setxattr(t.at("f"), "user.x", make([]byte, 64<<10), 0)
		if err != nil {
			t.fails(err, unix.ENOSPC, unix.E2BIG)
			same(t, "list", t.attrs("f"), "")
		}
	})
	a.test("xattr/of a link", "l->none", func(t *T) {
		t.fails(unix.Lsetxattr(t.at("l"), "user.x", nil, 0), unix.EPERM)
		_, err := unix.Lgetxattr(t.at("l"), "user.x", nil)
		t.fails(err, unix.ENODATA)
		same(t, "list", t.attrs("l"), "")
	})
	a.test("xattr/of a FIFO", "", func(t *T) {
		t.must(unix.Mkfifo(t.at("p"), 0o644))
		t.fails(unix.Setxattr(t.at("p"), "user.x", nil, 0), unix.EPERM)
	})
	a.test("xattr/through a link", "f l->f", func(t *T) {
		t.must(unix.Setxattr(t.at("l"), "user.x", []byte("1"), 0))
		same(t, "value", t.attr("f", "user.x"), "1")
	})
	a.test("xattr/by descriptor", "f", func(t *T) {
		fd := t.open("f", unix.O_RDONLY, 0)
		t.must(unix.Fsetxattr(fd, "user.x", []byte("1"), 0))
		b := make([]byte, 4)
		n, err := unix.Fgetxattr(fd, "user.x", b)
		t.must(err)
		same(t, "value", string(b[:n]), "1")
		t.must(unix.Fremovexattr(fd, "user.x"))
		same(t, "list", t.attrs("f"), "")
	})
	a.test("xattr/moves with the file", "f d/", func(t *T) {
		t.must(unix.Setxattr(t.at("f"), "user.x", []byte("1"), 0))
		t.must(os.Rename(t.at("f"), t.at("d/g")))
		same(t, "value", t.attr("d/g", "user.x"), "1")
		t.write("f", "")
		same(t, "list of the new one", t.attrs("f"), "")
	})
	a.test("xattr/survives writes, chmod and times", "f=text", func(t *T) {
		t.must(unix.Setxattr(t.at("f"), "user.x", []byte("1"), 0))
		t.write("f", "other")
		t.must(unix.Chmod(t.at("f"), 0o4600))
		t.must(t.utimes("f", old, old, 0))
		same(t, "list", t.attrs("f"), "user.x")
		same(t, "value", t.attr("f", "user.x"), "1")
	})
	a.test("xattr/changes ctime", "f", func(t *T) {
		before := t.stat("f").Ctim
		tick()
		t.must(unix.Setxattr(t.at("f"), "user.x", []byte("1"), 0))
		if t.stat("f").Ctim == before {
			t.errorf("ctime has not changed")
		}
	})
	a.user("xattr/of what may not be written", "f", func(t *T) {
		t.must(unix.Chmod(t.at("f"), 0o444))
		t.fails(unix.Setxattr(t.at("f"), "user.x", nil, 0), unix.EACCES)
	})
	a.user("xattr/of what may not be read", "f", func(t *T) {
		t.must(unix.Setxattr(t.at("f"), "user.x", []byte("1"), 0))
		t.must(unix.Chmod(t.at("f"), 0))
		_, err := unix.Getxattr(t.at("f"), "user.x", nil)
		t.fails(err, unix.EACCES)
	})
	a.user("xattr/trusted is not for users", "f", func(t *T) {
		t.fails(unix.Setxattr(t.at("f"), "trusted.x", nil, 0), unix.EPERM)
		_, err := unix.Getxattr(t.at("f"), "trusted.x", nil)
		t.fails(err, unix.ENODATA)
	})
	a.root("xattr/trusted is for root", "f", func(t *T) {
		t.must(unix.Setxattr(t.at("f"), "trusted.x", []byte("1"), 0))
		same(t, "value", t.attr("f", "trusted.x"), "1")
	})
	a.root("xattr/a program has capabilities", "f", func(t *T) {
		t.must(unix.Setxattr(t.at("f"), "security.capability", []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
		same(t, "size", len(t.attr("f", "security.capability")), 20)
	})
	a.user("xattr/users give no capabilities", "f", func(t *T) {
		err := unix.Setxattr(t.at("f"), "security.capability", []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0)
		t.fails(err, unix.EPERM)
	})
	a.test("xattr/an access control list", "f", func(t *T) {
		acl := "\x02\x00\x00\x00" + "\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x04\x00\x07\x00\x00\x00" +
			"\x04\x00\x04\x00\xff\xff\xff\xff" + "\x10\x00\x04\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"
		t.must(unix.Setxattr(t.at("f"), "system.posix_acl_access", []byte(acl), 0))
		same(t, "list", t.attr("f", "system.posix_acl_access"), acl)
	})
}
