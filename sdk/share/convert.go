package share

import (
	"path/filepath"
	"strings"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Bounds of an attachment.
const (
	maxMounts  = 256
	maxTag     = 255 // bytes; one path element below the device's root
	maxQueues  = 64
	maxPathLen = 4095
)

// check refuses what no share can serve. Both ends apply it: the client for a good message, the server for safety.
func (a Attachment) check() error {
	if len(a.Mounts) == 0 || len(a.Mounts) > maxMounts {
		return errdef.New(errdef.ErrInvalid, "a share has 1 to %d mounts, not %d", maxMounts, len(a.Mounts))
	}
	if a.RequestQueues < 0 || a.RequestQueues > maxQueues {
		return errdef.New(errdef.ErrInvalid, "a share has at most %d request queues, not %d", maxQueues, a.RequestQueues)
	}
	seen := map[string]bool{}
	for _, m := range a.Mounts {
		if err := m.check(); err != nil {
			return err
		}
		if seen[m.Tag] {
			return errdef.New(errdef.ErrInvalid, "two mounts have the tag %q", m.Tag)
		}
		seen[m.Tag] = true
	}
	return nil
}

func (m Mount) check() error {
	switch {
	case m.Tag == "" || m.Tag == "." || m.Tag == ".." || len(m.Tag) > maxTag || strings.ContainsAny(m.Tag, "/\x00"):
		return errdef.New(errdef.ErrInvalid, "%q is no tag of a mount: want one path element", m.Tag)
	case !absolute(m.HostPath):
		return errdef.New(errdef.ErrInvalid, "mount %s: %q is no absolute path", m.Tag, m.HostPath)
	case m.Mode < ReadOnly || m.Mode > Overlay:
		return errdef.New(errdef.ErrInvalid, "mount %s: mode %d is unknown", m.Tag, m.Mode)
	case m.Mode == Overlay && !absolute(m.UpperPath):
		return errdef.New(errdef.ErrInvalid, "mount %s: an overlay needs the absolute path of an upper directory, not %q", m.Tag, m.UpperPath)
	case m.Mode != Overlay && m.UpperPath != "":
		return errdef.New(errdef.ErrInvalid, "mount %s: only an overlay has an upper directory", m.Tag)
	case m.Cache != "" && m.Cache != CacheAuto && m.Cache != CacheAlways:
		return errdef.New(errdef.ErrInvalid, "mount %s: cache %q is neither auto nor always", m.Tag, m.Cache)
	}
	return nil
}

func absolute(path string) bool {
	return filepath.IsAbs(path) && len(path) <= maxPathLen && !strings.Contains(path, "\x00")
}

var modeToProto = map[Mode]pluginv1.ShareMode{
	ReadOnly:  pluginv1.ShareMode_SHARE_MODE_READ_ONLY,
	ReadWrite: pluginv1.ShareMode_SHARE_MODE_READ_WRITE,
	Overlay:   pluginv1.ShareMode_SHARE_MODE_OVERLAY,
}

// modeFromProto reads what is not set as read-only, and gives an unknown mode a value that check refuses.
func modeFromProto(p pluginv1.ShareMode) Mode {
	switch p {
	case pluginv1.ShareMode_SHARE_MODE_UNSPECIFIED, pluginv1.ShareMode_SHARE_MODE_READ_ONLY:
		return ReadOnly
	case pluginv1.ShareMode_SHARE_MODE_READ_WRITE:
		return ReadWrite
	case pluginv1.ShareMode_SHARE_MODE_OVERLAY:
		return Overlay
	}
	return -1
}

func attachmentToProto(a Attachment) (*pluginv1.AttachShareRequest, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	req := &pluginv1.AttachShareRequest{RequestQueues: uint32(a.RequestQueues)}
	for _, m := range a.Mounts {
		mount := &pluginv1.ShareMount{
			HostPath:  m.HostPath,
			Tag:       m.Tag,
			Mode:      modeToProto[m.Mode],
			Cache:     string(m.Cache),
			UpperPath: m.UpperPath,
		}
		if m.IDMap != nil {
			mount.IdMap = &pluginv1.IdMap{
				HostUid: m.IDMap.HostUID, HostGid: m.IDMap.HostGID,
				GuestUid: m.IDMap.GuestUID, GuestGid: m.IDMap.GuestGID,
			}
		}
		req.Mounts = append(req.Mounts, mount)
	}
	return req, nil
}

func attachmentFromProto(req *pluginv1.AttachShareRequest) (Attachment, error) {
	a := Attachment{RequestQueues: int(req.GetRequestQueues())}
	for _, m := range req.GetMounts() {
		mount := Mount{
			HostPath:  m.GetHostPath(),
			Tag:       m.GetTag(),
			Mode:      modeFromProto(m.GetMode()),
			Cache:     Cache(m.GetCache()),
			UpperPath: m.GetUpperPath(),
		}
		if ids := m.GetIdMap(); ids != nil {
			mount.IDMap = &IDMap{
				HostUID: ids.GetHostUid(), HostGID: ids.GetHostGid(),
				GuestUID: ids.GetGuestUid(), GuestGID: ids.GetGuestGid(),
			}
		}
		a.Mounts = append(a.Mounts, mount)
	}
	return a, a.check()
}
