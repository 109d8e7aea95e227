using Myelin.Hosting.Configuration;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Configuration;

public sealed class OptionsReaderTests
{
    [Fact]
    public void Read_Nothing_GivesDefaults()
    {
        var (options, errors) = OptionsReader.Read([], _ => null);

        errors.ShouldBeEmpty();
        options.ShouldBe(new MyelinOptions());
    }

    [Fact]
    public void Read_FlagOverEnvironmentOverFile_LaterWins()
    {
        var file = Path.GetTempFileName();
        File.WriteAllText(file, "urls: http://127.0.0.1:1\njobs:\n  queueLimit: 11\n  retention: 2d\n");
        var environment = new Dictionary<string, string> { ["MYELIN_JOBS_QUEUE_LIMIT"] = "22", ["MYELIN_URLS"] = "http://127.0.0.1:2" };

        var (options, errors) = OptionsReader.Read(["--config", file, "--jobs-queue-limit", "33", "--insecure"], environment.GetValueOrDefault);

        errors.ShouldBeEmpty();
        options.Jobs.QueueLimit.ShouldBe(33);
        options.Urls.ShouldBe("http://127.0.0.1:2");
        options.Jobs.Retention.ShouldBe(TimeSpan.FromDays(2));
        options.Insecure.ShouldBeTrue();
    }

    [Fact]
    public void Read_SecretInAFile_IsReadWithoutItsNewline()
    {
        var file = Path.GetTempFileName();
        File.WriteAllText(file, "Host=db;Password=swordfish\n");
        var environment = new Dictionary<string, string> { ["MYELIN_STORAGE_CONNECTION_FILE"] = file, ["MYELIN_JOBS_QUEUE_LIMIT_FILE"] = "/nowhere/at/all" };

        var (options, errors) = OptionsReader.Read([], environment.GetValueOrDefault);

        options.Storage.Connection.ShouldBe("Host=db;Password=swordfish");
        errors.ShouldHaveSingleItem().ShouldStartWith("MYELIN_JOBS_QUEUE_LIMIT_FILE: ");
    }

    [Fact]
    public void Text_OfOptions_HoldsNoPassword()
    {
        var (options, errors) = OptionsReader.Read([], name => name == "MYELIN_STORAGE_CONNECTION" ? "Host=db;Password=swordfish" : null);

        errors.ShouldBeEmpty();
        options.Storage.Connection.ShouldContain("swordfish");
        options.ToString().ShouldNotContain("swordfish");
        options.Storage.ToString().ShouldBe("PostgreSQL");
    }

    [Fact]
    public void Read_SeveralMistakes_ReportsAllWithPlaceAndCure()
    {
        var file = Path.GetTempFileName();
        File.WriteAllText(file, "jobs: {queuLimit: 5}\nworker: {lease: soon}\n");

        var (_, errors) = OptionsReader.Read(["--config", file, "--jobs-max-attempts=0", "--url", "x"], _ => null);

        errors.ShouldBe(
        [
            "myelin.yaml: jobs.queuLimit: unknown; did you mean jobs.queueLimit? --help lists all",
            "myelin.yaml: worker.lease: 'soon' is not a duration, such as 500ms, 30s, 5m, 2h or 7d",
            "--jobs-max-attempts: 0 is outside 1..100",
            "--url: unknown; did you mean --urls? --help lists all",
        ], ignoreOrder: true);
    }

    [Fact]
    public void Help_EverySetting_IsExplainedWithItsThreeNames()
    {
        var help = Help.Text(new MyelinOptions());

        foreach (var setting in Setting.Of(new MyelinOptions()))
        {
            setting.Description.ShouldNotBeEmpty(setting.Key);
            help.ShouldContain(setting.Flag);
            help.ShouldContain(setting.Environment);
        }
    }

    [Fact]
    public void Format_EveryDefault_ReadsBackAsItself()
    {
        foreach (var setting in Setting.Of(new MyelinOptions()).Where(s => s.Default is not null and not ""))
        {
            SettingValue.Parse(setting, SettingValue.Format(setting.Default), out var error).ShouldBe(setting.Default, setting.Key);
            error.ShouldBeNull();
        }
    }
}
