package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"path"
	"strings"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/image/source"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// rootfs is what a VM's root file system is made of. The zero value is the built-in system, which needs no disk.
type rootfs struct {
	disk    string // path
	fsType  string
	image   *image.Image   // nil for a raw disk, which says nothing of itself
	scratch *image.Scratch // takes the writes; nil where memory does
}

// resolveRoot finds, or makes, the disks that a Spec asks for. The caller removes the scratch disk.
func resolveRoot(ctx context.Context, images *image.Cache, spec Spec) (rootfs, error) {
	root, err := resolveLower(ctx, images, spec)
	if err != nil || spec.DiskBytes == 0 {
		return root, err
	}
	if root.disk == "" {
		return root, errdef.New(errdef.ErrInvalid, "the image %q lives in the guest's memory and writes to no disk", BaseImage).
			WithRemedy("leave out disk and raise memory, or name another image")
	}
	root.scratch, err = images.Scratch(int64(min(spec.DiskBytes, math.MaxInt64)))
	return root, err
}

func resolveLower(ctx context.Context, images *image.Cache, spec Spec) (rootfs, error) {
	if spec.base() {
		return rootfs{}, nil
	}
	s, err := source.Parse(spec.Image, "")
	if err != nil {
		return rootfs{}, fmt.Errorf("image: %w", err)
	}
	if s.Kind == source.Disk {
		fsType, err := detectFS(s.Path)
		return rootfs{disk: s.Path, fsType: fsType}, err
	}
	img, err := images.Image(ctx, s)
	if err != nil {
		return rootfs{}, err
	}
	return rootfs{disk: img.Disk(), fsType: "erofs", image: img}, nil
}

// identity is who runs what, where and with which environment, once the image was asked.
type identity struct {
	main     []string
	mainUser string // as boot.Main.User
	user     boot.User
	env      map[string]string
	dir      string
}

// identify fills in from the image what the Spec leaves open. The image's own main process runs as the image says, and that is
// root where it says nothing; everything else runs as the Spec's user, else the image's, else the ordinary one.
func (s Spec) identify(img *image.Image) (identity, error) {
	if img == nil {
		user, err := parseUser(s.User, nil, nil)
		return identity{main: s.Main, user: user, env: s.Env, dir: s.WorkingDir}, err
	}
	id := identity{main: s.Main, env: environment(img.Config.Env, s.Env), dir: s.WorkingDir}
	if id.dir == "" {
		id.dir = imageDir(img.Config.WorkingDir)
	}
	passwd, group := img.Accounts()
	named := s.User
	if named == "" {
		named = img.Config.User
	}
	var err error
	if id.user, err = parseUser(named, passwd, group); err != nil {
		return id, fmt.Errorf("image %s: %w", img.ShortID(), err)
	}
	if len(id.main) > 0 {
		return id, nil
	}
	if id.main = ownMain(img.Config, s.Args); len(id.main) == 0 || id.main[0] == "" {
		return id, errdef.New(errdef.ErrInvalid, "image %s has no main process of its own", s.Image).WithReason("no_main").
			WithRemedy(`give the sandbox one: main = ["sleep", "infinity"], for example`)
	}
	if named == "" {
		id.mainUser = "0:0"
	}
	return id, nil
}

// ownMain is the entrypoint with its arguments, which those of the user replace (image-spec, config.md, "Cmd").
func ownMain(c image.Config, args []string) []string {
	if args == nil {
		args = c.Cmd
	}
	return append(append([]string(nil), c.Entrypoint...), args...)
}

// imageDir makes a working directory of an image clean and absolute.
func imageDir(dir string) string {
	if dir == "" {
		return ""
	}
	return path.Clean("/" + dir)
}

// environment puts the user's variables over the image's.
func environment(list []string, over map[string]string) map[string]string {
	env := map[string]string{}
	for _, line := range list {
		if name, value, ok := strings.Cut(line, "="); ok && name != "" && !strings.ContainsRune(line, 0) {
			env[name] = value
		}
	}
	maps.Copy(env, over)
	return env
}

// parseUser knows the accounts that every guest has, those of the image's files, and takes numbers for all others: NAME, UID,
// NAME:GROUP, UID:GID and so on (image-spec, config.md, "User").
func parseUser(text string, passwd, group []byte) (boot.User, error) {
	name, groupName, withGroup := strings.Cut(text, ":")
	user, err := parseAccount(name, passwd)
	if err != nil || !withGroup {
		return user, err
	}
	if name == "" {
		return boot.User{}, errdef.New(errdef.ErrInvalid, "user %q: a group without a user", text)
	}
	if user == (boot.User{}) {
		user = boot.DefaultUser
	}
	gid, ok := number(groupName)
	if !ok {
		var fields []string
		if fields = lookUp(group, 0, groupName, 3); fields != nil {
			gid, ok = number(fields[2])
		}
	}
	if !ok {
		return boot.User{}, errdef.New(errdef.ErrInvalid, "user %q: there is no group %q", text, groupName)
	}
	user.GID = gid
	return user, nil
}

func parseAccount(name string, passwd []byte) (boot.User, error) {
	switch name {
	case "", boot.DefaultUser.Name:
		return boot.User{}, nil
	case "root":
		return boot.User{Name: "root", Home: "/root"}, nil
	}
	uid, numeric := number(name)
	column := 0
	if numeric {
		column = 2
	}
	if fields := lookUp(passwd, column, name, 6); fields != nil {
		uid, ok1 := number(fields[2])
		gid, ok2 := number(fields[3])
		if home := path.Clean("/" + fields[5]); ok1 && ok2 && fields[0] != "" {
			return boot.User{UID: uid, GID: gid, Name: fields[0], Home: home}, nil
		}
	}
	switch {
	case numeric && uid == 0:
		return boot.User{Name: "root", Home: "/root"}, nil
	case numeric && uid == boot.DefaultUser.UID:
		return boot.User{}, nil
	case numeric:
		return boot.User{UID: uid, GID: uid, Name: "user" + name, Home: "/"}, nil
	case passwd == nil:
		return boot.User{}, errdef.New(errdef.ErrInvalid, "user %q: want root, %s or uid[:gid]", name, boot.DefaultUser.Name)
	}
	return boot.User{}, errdef.New(errdef.ErrInvalid, "user %q: the image's /etc/passwd has no such name", name)
}

// lookUp returns the first line of a file like /etc/passwd whose column holds value, in at least so many fields.
func lookUp(file []byte, column int, value string, least int) []string {
	for line := range bytes.SplitSeq(file, []byte("\n")) {
		if fields := strings.Split(string(line), ":"); len(fields) >= least && fields[column] == value {
			return fields
		}
	}
	return nil
}
