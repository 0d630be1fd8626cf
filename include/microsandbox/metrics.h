/* What sandboxes use. Included by microsandbox.h. */
#ifndef MICROSANDBOX_METRICS_H
#define MICROSANDBOX_METRICS_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* msb_metrics.known: which fields were measured; the others are 0 */
#define MSB_METRIC_CPU_TIME      0x001u
#define MSB_METRIC_CPU_PERMILLE  0x002u
#define MSB_METRIC_MEMORY_USED   0x004u
#define MSB_METRIC_MEMORY_PEAK   0x008u
#define MSB_METRIC_OVERLAY_USED  0x010u
#define MSB_METRIC_DISK_READ     0x020u
#define MSB_METRIC_DISK_WRITTEN  0x040u
#define MSB_METRIC_NET_RECEIVED  0x080u
#define MSB_METRIC_NET_SENT      0x100u
#define MSB_METRIC_PROGRAMS      0x200u
#define MSB_METRIC_UPTIME        0x400u

typedef struct msb_metrics {
	uint32_t size;
	uint32_t known;              /* MSB_METRIC_* */
	int64_t sampled_unix_ms;
	int64_t uptime_ns;
	int64_t cpu_time_ns;         /* of all programs */
	uint32_t cpu_permille;       /* since the sample before; 1000 is one CPU */
	uint32_t programs;           /* running */
	uint64_t memory_used_bytes;
	uint64_t memory_peak_bytes;
	uint64_t memory_limit_bytes;
	uint64_t overlay_used_bytes;
	uint64_t overlay_limit_bytes;
	uint64_t disk_read_bytes;
	uint64_t disk_written_bytes;
	uint64_t net_received_bytes; /* loopback not counted */
	uint64_t net_sent_bytes;
	int32_t pid;                 /* the supervisor's */
	uint32_t reserved;
	char name[136];
} msb_metrics;
#define MSB_METRICS_INIT \
	{ (uint32_t)sizeof(msb_metrics), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0} }

/*
 * The last sample of a sandbox, read from shared memory: its supervisor is not
 * asked. Expect: NOT_FOUND (no sample yet, none wanted, or no slot was free), IO.
 */
MSB_API msb_result msb_sandbox_metrics(msb_handle sandbox, msb_metrics *out, msb_error *err);

/*
 * The last samples of all living sandboxes of a state directory. entries and
 * count as in msb_sandbox_list. Expect: BUFFER, PERMISSION, TOO_NEW (a
 * registry of a later version), IO.
 */
MSB_API msb_result msb_metrics_list(const char *state_dir, msb_metrics *entries, uint32_t capacity, uint32_t *count,
                                    msb_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MICROSANDBOX_METRICS_H */
