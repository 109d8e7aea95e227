using System.Text;
using Myelin.Hosting.Bus.Kafka;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Bus.Kafka;

public sealed class KafkaKeysTests
{
    [Fact]
    public void Text_AnyBytes_ComeBackAsTheyWere()
    {
        var random = new Random(7);
        byte[][] keys = [[], [0], [0xff], [0xef, 0xbf, 0xbf], [0xef, 0xbf, 0xbf, 0x41], [0, 0, 0, 200], .. Enumerable.Range(0, 500).Select(n => Bytes(random, n % 40))];

        foreach (var key in keys)
        {
            KafkaKeys.Bytes(KafkaKeys.Text(key)).ShouldBe(key);
        }

        keys.Select(k => KafkaKeys.Text(k)).Distinct().Count().ShouldBe(keys.DistinctBy(Convert.ToHexString).Count(), "two keys became one");
    }

    [Theory]
    [InlineData("order-17")]
    [InlineData("Straße 🦉")]
    public void Text_Utf8_IsTheText(string key) => KafkaKeys.Text(Encoding.UTF8.GetBytes(key)).ShouldBe(key);

    [Fact]
    public void Text_NoKey_StaysNone()
    {
        KafkaKeys.Text(null).ShouldBeNull();
        KafkaKeys.Bytes(null).ShouldBeNull();
    }

    private static byte[] Bytes(Random random, int length)
    {
        var bytes = new byte[length];
        random.NextBytes(bytes);
        return bytes;
    }
}
