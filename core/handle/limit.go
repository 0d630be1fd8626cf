package handle

// Limits that a program or sandbox has met, MSB_LIMIT_*.
const (
	LimitHitMemory    uint32 = 0x01
	LimitHitCPUTime   uint32 = 0x02
	LimitHitWallTime  uint32 = 0x04
	LimitHitProcesses uint32 = 0x08
	LimitHitOutput    uint32 = 0x10
	LimitHitFileSize  uint32 = 0x20
	LimitHitOverlay   uint32 = 0x40
	LimitHitOpenFiles uint32 = 0x80
)

var limitOfCause = map[uint32]uint32{
	CauseMemoryLimit: LimitHitMemory, CauseCPUTime: LimitHitCPUTime, CauseCPULimit: LimitHitCPUTime,
	CauseWallLimit: LimitHitWallTime, CauseMaxDuration: LimitHitWallTime,
	CauseOutputLimit: LimitHitOutput, CauseFileLimit: LimitHitFileSize,
}

// LimitOf is the limit that a cause stands for; 0 where it is none.
func LimitOf(cause uint32) uint32 { return limitOfCause[cause] }
