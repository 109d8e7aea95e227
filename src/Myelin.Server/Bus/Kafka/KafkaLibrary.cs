using System.Reflection;
using System.Runtime.InteropServices;
using Confluent.Kafka;

namespace Myelin.Server.Bus.Kafka;

/// <summary>Finds the native client: the system's <c>librdkafka.so.1</c>, 2.0 or newer.</summary>
internal static class KafkaLibrary
{
    /// <summary>2.1.0, as the library counts.</summary>
    private const int WithLeaderEpochs = 0x020100ff;

    private static readonly Lock s_gate = new();
    private static bool s_loaded;

    /// <summary>Once per process, before the first client is made.</summary>
    /// <exception cref="IOException">It is not installed, or not of a kind that works; tells the cure.</exception>
    public static void Load()
    {
        lock (s_gate)
        {
            if (s_loaded)
            {
                return;
            }

            if (!NativeLibrary.TryLoad("librdkafka.so.1", out var library))
            {
                throw new IOException("bus.kafka.bootstrap is set and librdkafka is not installed; on Debian: apt-get install librdkafka1");
            }

            NativeLibrary.SetDllImportResolver(typeof(Library).Assembly, (name, _, _) => name.Contains("rdkafka", StringComparison.Ordinal) ? library : 0);
            if (Library.Version < WithLeaderEpochs)
            {
                LiveWithoutLeaderEpochs();
            }

            s_loaded = true;
        }
    }

    /// <summary>
    /// The managed client asks each message for the epoch of its leader, by functions that 2.1 brought and Debian 12's
    /// 2.0.2 lacks. They only sharpen the detection of a truncated log; "unknown" (-1) is a legal answer. The package is
    /// pinned to one version, so the fields are the ones named here; a newer library is left alone.
    /// </summary>
    private static void LiveWithoutLeaderEpochs()
    {
        var native = typeof(Library).Assembly.GetType("Confluent.Kafka.Impl.Librdkafka", throwOnError: true)!;
        Answer("_message_leader_epoch", nameof(UnknownEpoch));
        Answer("_topic_partition_get_leader_epoch", nameof(UnknownEpoch));
        Answer("_topic_partition_set_leader_epoch", nameof(IgnoreEpoch));

        void Answer(string field, string with)
        {
            const BindingFlags Hidden = BindingFlags.NonPublic | BindingFlags.Static;
            var function = native.GetField(field, Hidden)
                ?? throw new IOException($"librdkafka {Library.VersionString} is older than 2.1, which this build of Confluent.Kafka needs; install a newer one");
            function.SetValue(null, typeof(KafkaLibrary).GetMethod(with, Hidden)!.CreateDelegate(function.FieldType));
        }
    }

    private static int UnknownEpoch(nint of) => -1;

    private static void IgnoreEpoch(nint of, int epoch)
    {
    }
}
