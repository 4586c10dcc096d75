package sandbox

import (
	"io/fs"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// durationFromProto refuses what a Duration cannot hold. Nil is zero.
func durationFromProto(d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	if err := d.CheckValid(); err != nil || d.GetSeconds() > math.MaxInt64/int64(time.Second)-1 || d.GetSeconds() < 0 || d.GetNanos() < 0 {
		return 0, errdef.New(errdef.ErrInvalid, "duration is out of range")
	}
	return d.AsDuration(), nil
}

// durationToProto leaves zero out.
func durationToProto(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

func sizeFromProto(p *pluginv1.WindowSize) (WindowSize, error) {
	if p.GetRows() > math.MaxUint16 || p.GetCols() > math.MaxUint16 {
		return WindowSize{}, errdef.New(errdef.ErrInvalid, "terminal of %d rows and %d columns", p.GetRows(), p.GetCols())
	}
	return WindowSize{Rows: uint16(p.GetRows()), Cols: uint16(p.GetCols())}, nil
}

func sizeToProto(s WindowSize) *pluginv1.WindowSize {
	return &pluginv1.WindowSize{Rows: uint32(s.Rows), Cols: uint32(s.Cols)}
}

func commandToProto(c Command, stdin bool) *pluginv1.ExecStart {
	p := &pluginv1.ExecStart{
		Args:    c.Args,
		Env:     c.Env,
		Dir:     c.Dir,
		User:    c.User,
		Timeout: durationToProto(c.Timeout),
		Stdin:   stdin,
	}
	if c.Limits != (Limits{}) {
		p.Limits = &pluginv1.Limits{
			MemoryBytes:   c.Limits.MemoryBytes,
			OpenFiles:     c.Limits.OpenFiles,
			Processes:     c.Limits.Processes,
			FileSizeBytes: c.Limits.FileSizeBytes,
			CpuTime:       durationToProto(c.Limits.CPUTime),
		}
	}
	if c.Pty != nil {
		p.Pty = &pluginv1.Pty{Size: sizeToProto(c.Pty.Size), Term: c.Pty.Term}
	}
	return p
}

func commandFromProto(p *pluginv1.ExecStart) (Command, error) {
	timeout, err := durationFromProto(p.GetTimeout())
	if err != nil {
		return Command{}, err
	}
	cpuTime, err := durationFromProto(p.GetLimits().GetCpuTime())
	if err != nil {
		return Command{}, err
	}
	c := Command{
		Args:    p.GetArgs(),
		Env:     p.GetEnv(),
		Dir:     p.GetDir(),
		User:    p.GetUser(),
		Timeout: timeout,
		Limits: Limits{
			MemoryBytes:   p.GetLimits().GetMemoryBytes(),
			OpenFiles:     p.GetLimits().GetOpenFiles(),
			Processes:     p.GetLimits().GetProcesses(),
			FileSizeBytes: p.GetLimits().GetFileSizeBytes(),
			CPUTime:       cpuTime,
		},
	}
	if p.GetPty() != nil {
		size, err := sizeFromProto(p.GetPty().GetSize())
		if err != nil {
			return Command{}, err
		}
		c.Pty = &Pty{Size: size, Term: p.GetPty().GetTerm()}
	}
	return c, c.Check()
}

func exitToProto(e Exit) *pluginv1.ExecExit {
	return &pluginv1.ExecExit{
		Code:        int32(e.Code),
		Signal:      e.Signal,
		TimedOut:    e.TimedOut,
		OomKilled:   e.OOMKilled,
		UserTime:    durationToProto(e.UserTime),
		SystemTime:  durationToProto(e.SystemTime),
		MaxRssBytes: e.MaxRSSBytes,
	}
}

func exitFromProto(p *pluginv1.ExecExit) (Exit, error) {
	if p.GetCode() < 0 || p.GetCode() > 255 || len(p.GetSignal()) > 16 {
		return Exit{}, broken("exit code %d, signal %.32q", p.GetCode(), p.GetSignal())
	}
	user, err := durationFromProto(p.GetUserTime())
	if err != nil {
		return Exit{}, broken("user time: %w", err)
	}
	system, err := durationFromProto(p.GetSystemTime())
	if err != nil {
		return Exit{}, broken("system time: %w", err)
	}
	return Exit{
		Code:        int(p.GetCode()),
		Signal:      p.GetSignal(),
		TimedOut:    p.GetTimedOut(),
		OOMKilled:   p.GetOomKilled(),
		UserTime:    user,
		SystemTime:  system,
		MaxRSSBytes: p.GetMaxRssBytes(),
	}, nil
}

// optionalExit converts an exit that may be missing.
func optionalExit(p *pluginv1.ExecExit) (*Exit, error) {
	if p == nil {
		return nil, nil
	}
	e, err := exitFromProto(p)
	return &e, err
}

func optionalExitToProto(e *Exit) *pluginv1.ExecExit {
	if e == nil {
		return nil
	}
	return exitToProto(*e)
}

func mountsToProto(mounts []Mount) []*pluginv1.Mount {
	var out []*pluginv1.Mount
	for _, m := range mounts {
		out = append(out, &pluginv1.Mount{
			Source: utf8Text(m.Source), Target: utf8Text(m.Target), Type: utf8Text(m.Type), ReadOnly: m.ReadOnly,
		})
	}
	return out
}

func infoToProto(i Info) *pluginv1.GetSandboxInfoResponse {
	return &pluginv1.GetSandboxInfoResponse{
		Hostname:     i.Hostname,
		Kernel:       i.Kernel,
		Architecture: i.Architecture,
		Cpus:         uint32(max(i.CPUs, 0)),
		MemoryBytes:  i.MemoryBytes,
		Uptime:       durationToProto(i.Uptime),
		AgentVersion: i.AgentVersion,
		User:         i.User,
		Home:         i.Home,
		WorkingDir:   i.WorkingDir,
		Mounts:       mountsToProto(i.Mounts),
		Main: &pluginv1.MainStatus{
			Defined: i.Main.Defined,
			Running: i.Main.Running,
			Pid:     int64(i.Main.PID),
			Exit:    optionalExitToProto(i.Main.Exit),
		},
		Capabilities: i.Capabilities,
	}
}

func infoFromProto(p *pluginv1.GetSandboxInfoResponse) (Info, error) {
	if len(p.GetMounts()) > maxList || len(p.GetCapabilities()) > maxList {
		return Info{}, broken("%d mounts and %d capabilities, at most %d are allowed", len(p.GetMounts()), len(p.GetCapabilities()), maxList)
	}
	uptime, err := durationFromProto(p.GetUptime())
	if err != nil {
		return Info{}, broken("uptime: %w", err)
	}
	mainExit, err := optionalExit(p.GetMain().GetExit())
	if err != nil {
		return Info{}, err
	}
	i := Info{
		Hostname:     p.GetHostname(),
		Kernel:       p.GetKernel(),
		Architecture: p.GetArchitecture(),
		CPUs:         int(p.GetCpus()),
		MemoryBytes:  p.GetMemoryBytes(),
		Uptime:       uptime,
		AgentVersion: p.GetAgentVersion(),
		User:         p.GetUser(),
		Home:         p.GetHome(),
		WorkingDir:   p.GetWorkingDir(),
		Main: Main{
			Defined: p.GetMain().GetDefined(),
			Running: p.GetMain().GetRunning(),
			PID:     int(p.GetMain().GetPid()),
			Exit:    mainExit,
		},
		Capabilities: p.GetCapabilities(),
	}
	for _, m := range p.GetMounts() {
		i.Mounts = append(i.Mounts, Mount{Source: m.GetSource(), Target: m.GetTarget(), Type: m.GetType(), ReadOnly: m.GetReadOnly()})
	}
	return i, nil
}

func metricsToProto(m Metrics) *pluginv1.GetSandboxMetricsResponse {
	return &pluginv1.GetSandboxMetricsResponse{
		CpuTime:              durationToProto(m.CPUTime),
		MemoryTotalBytes:     m.MemoryTotalBytes,
		MemoryAvailableBytes: m.MemoryAvailableBytes,
		Processes:            uint32(max(m.Processes, 0)),
		Load_1M:              m.Load1m,
		DiskTotalBytes:       m.DiskTotalBytes,
		DiskFreeBytes:        m.DiskFreeBytes,
		NetReceivedBytes:     m.NetReceivedBytes,
		NetSentBytes:         m.NetSentBytes,
	}
}

func metricsFromProto(p *pluginv1.GetSandboxMetricsResponse) (Metrics, error) {
	cpu, err := durationFromProto(p.GetCpuTime())
	if err != nil {
		return Metrics{}, broken("processor time: %w", err)
	}
	return Metrics{
		CPUTime:              cpu,
		MemoryTotalBytes:     p.GetMemoryTotalBytes(),
		MemoryAvailableBytes: p.GetMemoryAvailableBytes(),
		Processes:            int(p.GetProcesses()),
		Load1m:               finite(p.GetLoad_1M()),
		DiskTotalBytes:       p.GetDiskTotalBytes(),
		DiskFreeBytes:        p.GetDiskFreeBytes(),
		NetReceivedBytes:     p.GetNetReceivedBytes(),
		NetSentBytes:         p.GetNetSentBytes(),
	}, nil
}

// utf8Text makes a name that Linux allows and protobuf does not presentable. Such a file can be seen but not named.
func utf8Text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

var fileTypes = []struct {
	mode  fs.FileMode
	proto pluginv1.FileType
}{
	{0, pluginv1.FileType_FILE_TYPE_REGULAR},
	{fs.ModeDir, pluginv1.FileType_FILE_TYPE_DIRECTORY},
	{fs.ModeSymlink, pluginv1.FileType_FILE_TYPE_SYMLINK},
	{fs.ModeSocket, pluginv1.FileType_FILE_TYPE_SOCKET},
	{fs.ModeNamedPipe, pluginv1.FileType_FILE_TYPE_FIFO},
	{fs.ModeDevice | fs.ModeCharDevice, pluginv1.FileType_FILE_TYPE_CHAR_DEVICE},
	{fs.ModeDevice, pluginv1.FileType_FILE_TYPE_BLOCK_DEVICE},
}

var specialBits = []struct {
	mode fs.FileMode
	unix uint32
}{
	{fs.ModeSetuid, 0o4000},
	{fs.ModeSetgid, 0o2000},
	{fs.ModeSticky, 0o1000},
}

// ModeToUnix returns the permission bits of a mode as chmod(2) takes them.
func ModeToUnix(m fs.FileMode) uint32 {
	unix := uint32(m.Perm())
	for _, b := range specialBits {
		if m&b.mode != 0 {
			unix |= b.unix
		}
	}
	return unix
}

// ModeFromUnix is the inverse of ModeToUnix. Other bits than permissions are ignored.
func ModeFromUnix(unix uint32) fs.FileMode {
	m := fs.FileMode(unix) & fs.ModePerm
	for _, b := range specialBits {
		if unix&b.unix != 0 {
			m |= b.mode
		}
	}
	return m
}

func fileToProto(f FileInfo) *pluginv1.FileInfo {
	p := &pluginv1.FileInfo{
		Name:       utf8Text(f.Name),
		Size:       f.Size,
		Mode:       ModeToUnix(f.Mode),
		Uid:        f.UID,
		Gid:        f.GID,
		LinkTarget: utf8Text(f.LinkTarget),
	}
	if !f.ModTime.IsZero() {
		p.Modified = timestamppb.New(f.ModTime)
	}
	for _, t := range fileTypes {
		if f.Mode.Type() == t.mode {
			p.Type = t.proto
		}
	}
	return p
}

// fileFromProto refuses a name with a slash: whoever copies a directory out of a sandbox joins names to paths of the host.
func fileFromProto(p *pluginv1.FileInfo) (FileInfo, error) {
	name := p.GetName()
	if len(name) > maxNameBytes*4 || len(p.GetLinkTarget()) > maxPathBytes*4 {
		return FileInfo{}, broken("file name of %d bytes, link of %d", len(name), len(p.GetLinkTarget()))
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "\x00") || (strings.Contains(name, "/") && name != "/") {
		return FileInfo{}, broken("file name %.64q", name)
	}
	f := FileInfo{
		Name:       name,
		Size:       p.GetSize(),
		Mode:       ModeFromUnix(p.GetMode()),
		UID:        p.GetUid(),
		GID:        p.GetGid(),
		LinkTarget: p.GetLinkTarget(),
	}
	if t := p.GetModified(); t != nil && t.CheckValid() == nil {
		f.ModTime = t.AsTime()
	}
	typ := fs.ModeIrregular
	for _, t := range fileTypes {
		if p.GetType() == t.proto {
			typ = t.mode
		}
	}
	f.Mode |= typ
	return f, nil
}
