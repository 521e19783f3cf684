#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <string.h>

typedef int32_t (*partitioner_t)(const rd_kafka_topic_t *, const void *, size_t, int32_t, void *,
                                 void *);

static const struct {
        const char *name;
        partitioner_t partitioner;
} PARTITIONERS[] = {
    {"consistent_random", rd_kafka_msg_partitioner_consistent_random},
    {"consistent", rd_kafka_msg_partitioner_consistent},
    {"random", rd_kafka_msg_partitioner_random},
    {"murmur2", rd_kafka_msg_partitioner_murmur2},
    {"murmur2_random", rd_kafka_msg_partitioner_murmur2_random},
    {"fnv1a", rd_kafka_msg_partitioner_fnv1a},
    {"fnv1a_random", rd_kafka_msg_partitioner_fnv1a_random},
};
static const int32_t COUNTS[] = {1, 2, 3, 7, 12, 64, 100, 1000, 100003, 2147483647};
enum { NCOUNTS = sizeof COUNTS / sizeof *COUNTS, MAXKEYS = 1000 };

static char lines[MAXKEYS][128];

int main(void) {
        size_t nkeys = 0;
        while (nkeys < MAXKEYS && fgets(lines[nkeys], sizeof lines[0], stdin)) {
                lines[nkeys][strcspn(lines[nkeys], "\n")] = 0;
                nkeys++;
        }
        char errstr[256];
        rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, NULL, errstr, sizeof errstr);
        rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, "orders", NULL);

        printf("# librdkafka %s\ncounts", rd_kafka_version_str());
        for (int c = 0; c < NCOUNTS; c++)
                printf(" %d", COUNTS[c]);
        printf("\n");
        for (size_t p = 0; p < sizeof PARTITIONERS / sizeof *PARTITIONERS; p++) {
                printf("partitioner %s\n", PARTITIONERS[p].name);
                for (size_t k = 0; k < nkeys; k++) {
                        unsigned char bytes[64];
                        size_t len = 0;
                        int is_null = !strcmp(lines[k], "null");
                        unsigned byte;
                        if (!is_null)
                                for (; sscanf(lines[k] + 2 * len, "%2x", &byte) == 1; len++)
                                        bytes[len] = (unsigned char)byte;
                        for (int c = 0; c < NCOUNTS; c++) {
                                int32_t first = -1;
                                int varies = 0;
                                for (int n = 0; n < 32; n++) {
                                        int32_t got = PARTITIONERS[p].partitioner(
                                            rkt, is_null ? NULL : bytes, len, COUNTS[c], NULL,
                                            NULL);
                                        varies |= n > 0 && got != first;
                                        first = got;
                                }
                                if (varies)
                                        printf("%s*", c ? " " : "");
                                else
                                        printf("%s%d", c ? " " : "", first);
                        }
                        printf("\n");
                }
        }
        return 0;
}
