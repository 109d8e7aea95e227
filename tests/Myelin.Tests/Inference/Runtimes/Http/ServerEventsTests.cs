using System.Text;
using Myelin.Inference.Runtimes.Http;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Http;

public sealed class ServerEventsTests
{
    [Theory]
    [InlineData("data: {0}")]
    [InlineData("data: x\ndata: {0}")]
    [InlineData("{0}")]
    public async Task Read_EventWithoutEnd_IsRefusedAtTheLimit(string form)
    {
        using var stream = new MemoryStream(Encoding.ASCII.GetBytes(form.Replace("{0}", new string('x', 4 << 20), StringComparison.Ordinal)));

        await Should.ThrowAsync<FormatException>(async () =>
        {
            await foreach (var data in ServerEvents.ReadAsync(stream, "progress", TestContext.Current.CancellationToken))
            {
                data.Length.ShouldBe(0, "nothing of it is an event");
            }
        });
        stream.Position.ShouldBeLessThan(1 << 20, "an endless event was collected");
    }
}
