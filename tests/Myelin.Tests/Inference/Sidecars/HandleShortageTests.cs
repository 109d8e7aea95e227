using Myelin.Inference.Models;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Sidecars;

/// <summary>A worker without a handle left; in a process of its own, because the runtime itself may not survive that in one that does much else.</summary>
public sealed class HandleShortageTests
{
    [Fact]
    public async Task Stop_NoHandleToLookForStrays_TheRestIsClearedAwayAndTheEndFindsThem()
    {
        if (await OwnProcess.RanAsync(TestContext.Current.CancellationToken))
        {
            return;
        }

        await using var models = new SidecarModels();
        await (await models.OpenAsync(models.Write())).DisposeAsync();
        var definition = models.Write(startup: "daemon");
        var source = await models.OpenAsync(definition);
        await Wait.UntilAsync(() => models.Log.Any(l => l.Contains("many: child ", StringComparison.Ordinal)), "the child's pid in the log");
        var child = int.Parse(models.Log.First(l => l.Contains("many: child ", StringComparison.Ordinal)).Split(' ')[^1]);
        var pid = models.Supervisor.Find(definition)!.Endpoints.Single().Pid!.Value;

        using (NoHandles.Take())
        {
            await source.DisposeAsync();
        }

        SidecarModels.IsAlive(pid).ShouldBeFalse();
        models.Supervisor.List().ShouldBeEmpty();
        await models.Supervisor.DisposeAsync();
        await Wait.UntilAsync(() => !SidecarModels.IsAlive(child), "the child has ended");
    }

    [Theory]
    [InlineData("serve.py")]
    [InlineData("serve.py --listen http://127.0.0.1:{port}")]
    public async Task Start_NoHandle_SaysSoAtOnceLeavesNothingAndWorksLater(string arguments)
    {
        if (await OwnProcess.RanAsync(TestContext.Current.CancellationToken))
        {
            return;
        }

        await using var models = new SidecarModels();
        var definition = models.Write();
        definition = definition with { Sidecar = definition.Sidecar! with { Command = ["/usr/bin/python3", .. arguments.Split(' ')] } };
        await (await models.OpenAsync(definition)).DisposeAsync();

        ModelException? fault = null;
        using (NoHandles.Take())
        {
            try
            {
                await models.OpenAsync(definition);
            }
            catch (ModelException e)
            {
                fault = e;
            }
        }

        fault.ShouldNotBeNull().Transient.ShouldBeTrue(fault!.Message);
        fault.Message.ShouldContain("could not be started");
        Directory.GetDirectories(Directory.GetDirectories(models.RunFolder).Single()).ShouldBeEmpty();
        await (await models.OpenAsync(definition)).DisposeAsync();
    }
}
