package fuse

// Opcode says what a message asks for.
type Opcode uint32

// Operations.
const (
	Lookup        Opcode = 1
	Forget        Opcode = 2
	Getattr       Opcode = 3
	Setattr       Opcode = 4
	Readlink      Opcode = 5
	Symlink       Opcode = 6
	Mknod         Opcode = 8
	Mkdir         Opcode = 9
	Unlink        Opcode = 10
	Rmdir         Opcode = 11
	Rename        Opcode = 12
	Link          Opcode = 13
	Open          Opcode = 14
	Read          Opcode = 15
	Write         Opcode = 16
	Statfs        Opcode = 17
	Release       Opcode = 18
	Fsync         Opcode = 20
	Setxattr      Opcode = 21
	Getxattr      Opcode = 22
	Listxattr     Opcode = 23
	Removexattr   Opcode = 24
	Flush         Opcode = 25
	Init          Opcode = 26
	Opendir       Opcode = 27
	Readdir       Opcode = 28
	Releasedir    Opcode = 29
	Fsyncdir      Opcode = 30
	Create        Opcode = 35
	Interrupt     Opcode = 36
	Destroy       Opcode = 38
	BatchForget   Opcode = 42
	Fallocate     Opcode = 43
	Readdirplus   Opcode = 44
	Rename2       Opcode = 45
	Lseek         Opcode = 46
	CopyFileRange Opcode = 47
	Syncfs        Opcode = 50
	Tmpfile       Opcode = 51
)

// names are those of statistics.
var names = [...]string{
	Lookup: "lookup", Forget: "forget", Getattr: "getattr", Setattr: "setattr", Readlink: "readlink", Symlink: "symlink", Mknod: "mknod",
	Mkdir: "mkdir", Unlink: "unlink", Rmdir: "rmdir", Rename: "rename", Link: "link", Open: "open", Read: "read", Write: "write",
	Statfs: "statfs", Release: "release", Fsync: "fsync", Setxattr: "setxattr", Getxattr: "getxattr", Listxattr: "listxattr",
	Removexattr: "removexattr", Flush: "flush", Init: "init", Opendir: "opendir", Readdir: "readdir", Releasedir: "releasedir",
	Fsyncdir: "fsyncdir", Create: "create", Interrupt: "interrupt", Destroy: "destroy", BatchForget: "batch_forget",
	Fallocate: "fallocate", Readdirplus: "readdirplus", Rename2: "rename2", Lseek: "lseek", CopyFileRange: "copy_file_range",
	Syncfs: "syncfs", Tmpfile: "tmpfile",
}

// NumOpcodes is above every opcode with a name.
const NumOpcodes = len(names)

func (o Opcode) String() string {
	if int64(o) < int64(len(names)) && names[o] != "" {
		return names[o]
	}
	return "other"
}

// Silent tells whether a message has no reply.
func (o Opcode) Silent() bool {
	const notifyReply = 41
	return o == Forget || o == BatchForget || o == Interrupt || o == notifyReply
}

// InitFlags are the features of a connection, both words of them.
type InitFlags uint64

// Features.
const (
	AsyncRead         InitFlags = 1 << 0
	AtomicTrunc       InitFlags = 1 << 3
	BigWrites         InitFlags = 1 << 5
	AutoInvalData     InitFlags = 1 << 12
	DoReaddirplus     InitFlags = 1 << 13
	ReaddirplusAuto   InitFlags = 1 << 14
	AsyncDIO          InitFlags = 1 << 15
	WritebackCache    InitFlags = 1 << 16
	ParallelDirOps    InitFlags = 1 << 18
	MaxPages          InitFlags = 1 << 22
	CacheSymlinks     InitFlags = 1 << 23
	HandleKillprivV2  InitFlags = 1 << 28
	InitExt           InitFlags = 1 << 30
	DirectIOAllowMmap InitFlags = 1 << 36
)

// Flags of single messages.
const (
	GetattrHandle = 1 << 0 // FUSE_GETATTR_FH

	OpenKillSuidgid  = 1 << 0 // FUSE_OPEN_KILL_SUIDGID
	WriteKillSuidgid = 1 << 2 // FUSE_WRITE_KILL_SUIDGID

	FsyncData = 1 << 0 // FUSE_FSYNC_FDATASYNC

	KeepCache = 1 << 1 // FOPEN_KEEP_CACHE
	CacheDir  = 1 << 3 // FOPEN_CACHE_DIR
	NoFlush   = 1 << 5 // FOPEN_NOFLUSH
)

// What a Setattr message sets.
const (
	SetMode        = 1 << 0
	SetUID         = 1 << 1
	SetGID         = 1 << 2
	SetSize        = 1 << 3
	SetAtime       = 1 << 4
	SetMtime       = 1 << 5
	SetHandle      = 1 << 6
	SetAtimeNow    = 1 << 7
	SetMtimeNow    = 1 << 8
	SetCtime       = 1 << 10
	SetKillSuidgid = 1 << 11
)
