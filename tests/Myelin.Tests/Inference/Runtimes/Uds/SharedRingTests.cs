using System.Diagnostics;
using Myelin.Inference.Runtimes.Uds;
using Myelin.Protocol.Sidecars;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Uds;

[System.Runtime.Versioning.SupportedOSPlatform("linux")]
public sealed class SharedRingTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateDirectory($"/dev/shm/myelin-test-{Guid.NewGuid():N}");

    private string Ring => Path.Combine(_folder.FullName, "myelin-ring-test");

    [Fact]
    public void Create_File_IsReservedAndPrivate()
    {
        SharedRing.TryCreate(Ring, 1 << 20, 1 << 20, null, out var ring, out var error).ShouldBeTrue(error);

        new FileInfo(Ring).Length.ShouldBe(2 << 20);
        File.GetUnixFileMode(Ring).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        ring!.Unlink();
        File.Exists(Ring).ShouldBeFalse();
        ring.Release();
    }

    [Fact]
    public void Open_OfTwoMappings_BothSeeTheSameBytes()
    {
        SharedRing.TryCreate(Ring, 4096, 4096, null, out var worker, out _).ShouldBeTrue();
        SharedRing.TryOpen(worker!.Layout, out var sidecar, out var error).ShouldBeTrue(error);
        worker.Unlink();

        using (var place = new RingArena(worker, worker.Layout.Inputs).TryRent(100)!)
        {
            place.GetSpan().Fill(7);
            sidecar!.TryAddReference().ShouldBeTrue();
            using var view = new RingView(sidecar, place.Offset, 100, null);
            view.GetSpan().ToArray().ShouldAllBe(value => value == 7);
        }

        worker.Release();
        sidecar.Release();
        worker.TryAddReference().ShouldBeFalse("it is unmapped");
    }

    [Fact]
    public void Open_FileSmallerThanSaid_IsRefused()
    {
        File.WriteAllBytes(Ring, new byte[4096]);

        SharedRing.TryOpen(new RingLayout(Ring, 8192, new RingPart(0, 4096), new RingPart(4096, 4096)), out _, out var error).ShouldBeFalse();

        error.ShouldContain("4096");
    }

    [Fact]
    public void Sweep_OnlyFilesWithoutAHolder_AreRemoved()
    {
        var orphan = Path.Combine(_folder.FullName, "myelin-ring-orphan");
        var foreign = Path.Combine(_folder.FullName, "something-else");
        File.WriteAllBytes(orphan, new byte[10]);
        File.WriteAllBytes(foreign, new byte[10]);
        SharedRing.TryCreate(Ring, 4096, 4096, null, out var held, out _).ShouldBeTrue();

        RingFiles.Sweep(_folder.FullName).ShouldBe(1);

        File.Exists(orphan).ShouldBeFalse();
        File.Exists(foreign).ShouldBeTrue();
        File.Exists(Ring).ShouldBeTrue();
        held!.Release();
    }

    [Fact]
    public void Create_NoRoom_MakesASmallerOneOrSaysWhyNot()
    {
        using var mounting = Process.Start(new ProcessStartInfo("mount", ["-t", "tmpfs", "-o", "size=3m", "tmpfs", _folder.FullName]) { RedirectStandardError = true })!;
        mounting.WaitForExit();
        Assert.SkipUnless(mounting.ExitCode == 0, "needs the right to mount a small file system");
        try
        {
            RingFiles.TryCreate(_folder.FullName, 2 << 20, 2 << 20, null, out var ring, out var error).ShouldBeTrue();
            error.ShouldContain("No space left");
            ring!.Layout.Bytes.ShouldBe(2 << 20);
            RingFiles.TryCreate(_folder.FullName, 64 << 20, 64 << 20, null, out _, out error).ShouldBeFalse();
            error.ShouldContain("No space left");
            Directory.GetFiles(_folder.FullName).Length.ShouldBe(1, "what could not be made leaves no file");
            ring.Release();
        }
        finally
        {
            Process.Start("umount", ["-l", _folder.FullName]).WaitForExit();
        }
    }

    [Fact]
    public void Tensor_UsedAfterDispose_ThrowsInsteadOfReadingAnother()
    {
        SharedRing.TryCreate(Ring, 1 << 20, 4096, null, out var ring, out _).ShouldBeTrue();
        var arena = new RingArena(ring!, ring!.Layout.Inputs);
        var tensor = RingTensor.TryRent(arena, 0, "x", Myelin.Protocol.ElementType.UInt8, [1000])!;
        var bytes = tensor.Bytes;
        ring.Release();

        bytes.Span.Fill(1); // still mapped: the tensor holds it
        tensor.Dispose();

        arena.Places.ShouldBe(0);
        Should.Throw<ObjectDisposedException>(() => bytes.Span[0]);
        arena.TryRent(100).ShouldBeNull("the ring has ended");
    }

    [Fact]
    public async Task Rent_Full_WaitsForAPlaceAndGivesUp()
    {
        SharedRing.TryCreate(Ring, 4096, 4096, null, out var ring, out _).ShouldBeTrue();
        var arena = new RingArena(ring!, ring!.Layout.Inputs);
        IDisposable all = arena.TryRent(4096)!;

        (await arena.RentAsync(64, TimeSpan.FromMilliseconds(20), TimeProvider.System, CancellationToken.None)).ShouldBeNull();
        (await arena.RentAsync(5000, TimeSpan.FromHours(1), TimeProvider.System, CancellationToken.None)).ShouldBeNull("never large enough: no wait");
        var waiting = arena.RentAsync(64, TimeSpan.FromSeconds(30), TimeProvider.System, CancellationToken.None).AsTask();
        all.Dispose();

        using (var place = await waiting)
        {
            place.ShouldNotBeNull();
        }

        arena.Places.ShouldBe(0);
        ring.Release();
    }

    public void Dispose() => _folder.Delete(recursive: true);
}
