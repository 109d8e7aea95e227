using System.Globalization;
using Myelin.Jobs;
using Myelin.Jobs.Store;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Storage;

/// <summary>
/// Random schedules of everything that can happen to jobs, over a real database, against <see cref="JobModel"/>: no job
/// lost, none ended twice, no key overtaken, events in order. <c>MYELIN_TEST_SEED</c> repeats a failed run.
/// </summary>
public sealed class JobStateMachineTests
{
    public static TheoryData<int> Seeds => SeedsOf([1, 2, 3, Random.Shared.Next(), Random.Shared.Next(), Random.Shared.Next()]);

    /// <summary>Fewer: each commit is a round trip.</summary>
    public static TheoryData<int> FewSeeds => SeedsOf([1, Random.Shared.Next()]);

    [Theory]
    [MemberData(nameof(Seeds), DisableDiscoveryEnumeration = true)]
    public async Task Sqlite_RandomSchedule_KeepsEveryPromise(int seed)
    {
        using var harness = new SqliteHarness();
        await RunAsync(seed, steps: 1500, harness);
    }

    [Theory]
    [MemberData(nameof(FewSeeds), DisableDiscoveryEnumeration = true)]
    public async Task Postgres_RandomSchedule_KeepsEveryPromise(int seed)
    {
        var harness = new PostgresHarness(await PostgresDatabase.CreateAsync(TestContext.Current.CancellationToken));
        await RunAsync(seed, steps: 800, harness);
    }

    /// <summary>Each call goes through one of two processes.</summary>
    [Theory]
    [MemberData(nameof(FewSeeds), DisableDiscoveryEnumeration = true)]
    public async Task PostgresPair_RandomSchedule_KeepsEveryPromise(int seed)
    {
        var harness = new PostgresPairHarness(await PostgresDatabase.CreateAsync(TestContext.Current.CancellationToken), new Random(seed));
        await RunAsync(seed, steps: 600, harness);
    }

    private static TheoryData<int> SeedsOf(int[] seeds) =>
        Environment.GetEnvironmentVariable("MYELIN_TEST_SEED") is { Length: > 0 } seed ? [int.Parse(seed, CultureInfo.InvariantCulture)] : [.. seeds];

    private static async Task RunAsync(int seed, int steps, IStoreHarness harness)
    {
        await using var run = await Schedule.StartAsync(seed, harness);
        try
        {
            for (var step = 0; step < steps; step++)
            {
                await run.StepAsync(step);
            }

            await run.FinishAsync();
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"MYELIN_TEST_SEED={seed} repeats this: {run.Last}", e);
        }
    }

    private sealed class Schedule : IAsyncDisposable
    {
        private readonly Random _random;
        private readonly IStoreHarness _harness;
        private readonly ManualTime _time = new();
        private readonly JobModel _model = new();
        private readonly JobIds _ids;
        private readonly Dictionary<string, string> _repeats = [];
        private readonly RecoveryPolicy _policy = new() { MaxAttempts = 3 };
        private IJobStore _store = null!;

        private Schedule(int seed, IStoreHarness harness)
        {
            (_random, _harness) = (new Random(seed), harness);
            _ids = new JobIds(_time);
        }

        public static async Task<Schedule> StartAsync(int seed, IStoreHarness harness)
        {
            var schedule = new Schedule(seed, harness);
            schedule._store = await harness.OpenAsync(schedule._time);
            return schedule;
        }

        public string Last { get; private set; } = "";

        private DateTimeOffset Now => _time.GetUtcNow();

        private static CancellationToken Token => TestContext.Current.CancellationToken;

        public async Task StepAsync(int step)
        {
            var (name, act) = Choose();
            Last = $"step {step}: {name}";
            await act();
            _model.Jobs.ShouldAllBe(j => j.Ends <= 1);
            foreach (var model in new[] { "a", "b" })
            {
                _store.QueueDepth(model).ShouldBe(_model.Depth(model), Last);
            }

            if (step % 100 == 99)
            {
                await CompareAsync();
            }
        }

        /// <summary>Everything that waits gets its turn: the queue must run dry with each job ended once.</summary>
        public async Task FinishAsync()
        {
            Last = "finish";
            for (var round = 0; _model.Jobs.Any(j => !j.State.IsEnd()); round++)
            {
                round.ShouldBeLessThan(500, "the queue does not run dry");
                _time.Advance(TimeSpan.FromMinutes(1));
                await RecoverAsync();
                foreach (var job in _model.Jobs.Where(j => j.State == JobState.Queued).ToList())
                {
                    await ClaimAsync(job);
                    if (job.Token is not null)
                    {
                        await ApplyAsync(job, job.Token, Success());
                    }
                }
            }

            await CompareAsync();
        }

        public ValueTask DisposeAsync() => ((IAsyncDisposable)_store).DisposeAsync();

        private (string, Func<Task>) Choose() => _random.Next(100) switch
        {
            < 22 => ("submit", SubmitAsync),
            < 48 => ("claim", () => WithJobAsync(ClaimAsync)),
            < 58 => ("heartbeat", HeartbeatAsync),
            < 63 => ("progress", () => WithJobAsync(ProgressAsync)),
            < 80 => ("apply", () => WithJobAsync(j => ApplyAsync(j, AnyToken(j), AnyOutcome()))),
            < 85 => ("cancel", () => WithJobAsync(CancelAsync)),
            < 91 => ("advance", () => Clock(() => _time.Advance(TimeSpan.FromSeconds(_random.Next(1, 20))))),
            < 93 => ("jump", () => Clock(() => _time.Jump(TimeSpan.FromSeconds(_random.Next(-60, 60))))),
            < 95 => ("recover", RecoverAsync),
            < 96 => ("return", ReturnAsync),
            < 98 => ("purge", PurgeAsync),
            _ => ("crash", CrashAsync),
        };

        private static Task Clock(Action move)
        {
            move();
            return Task.CompletedTask;
        }

        /// <summary>Mostly one that is alive; sometimes one that ended or was never there.</summary>
        private Task WithJobAsync(Func<JobModel.Entry, Task> act)
        {
            var alive = _model.Jobs.Where(j => !j.State.IsEnd()).ToList();
            var pool = alive.Count > 0 && _random.Next(10) > 0 ? alive : _model.Jobs;
            return pool.Count == 0 ? Task.CompletedTask : act(pool[_random.Next(pool.Count)]);
        }

        private async Task SubmitAsync()
        {
            var job = new JobRecord
            {
                Id = _ids.Next(),
                Tenant = Pick("t", "u"),
                Model = Pick("a", "b"),
                Key = Pick(null, null, "k", "l"),
                Priority = (JobPriority)_random.Next(3),
                Deadline = _random.Next(8) == 0 ? Now.AddSeconds(_random.Next(1, 30)) : null,
                Callback = _random.Next(4) == 0 ? new JobCallback("https://example.org") : null,
                IdempotencyKey = _random.Next(10) == 0 ? Pick("x", "y", "z") : null,
                BodyHash = "h",
                CreatedAt = Now,
            };
            const int limit = 60;
            var result = await _store.InsertAsync(job, [], limit, Token);
            if (job.IdempotencyKey is not null && _repeats.TryGetValue(job.Tenant + job.IdempotencyKey, out var first))
            {
                result.Status.ShouldBe(InsertStatus.Duplicate);
                result.Job!.Id.ShouldBe(first);
            }
            else if (_model.Depth(job.Model) >= limit)
            {
                result.Status.ShouldBe(InsertStatus.QueueFull);
            }
            else
            {
                result.Status.ShouldBe(InsertStatus.Inserted);
                _model.Jobs.Add(new JobModel.Entry(job.Id, _model.Jobs.Count, job.Tenant, job.Model, job.Key, job.Deadline));
                if (job.IdempotencyKey is not null)
                {
                    _repeats.Add(job.Tenant + job.IdempotencyKey, job.Id);
                }
            }
        }

        /// <summary>Several workers at once: as many as there are, one gets it.</summary>
        private async Task ClaimAsync(JobModel.Entry job)
        {
            var expected = job.Claim(Now, _model.KeyBusy(job));
            var leases = Enumerable.Range(0, _random.Next(1, 4)).Select(_ => new JobLease("w", Guid.NewGuid().ToString("n"), Now.AddSeconds(15))).ToList();
            var claims = await Task.WhenAll(leases.Select(l => _store.ClaimAsync(job.Id, l, Now, Token).AsTask()));

            if (expected != ClaimStatus.Claimed)
            {
                claims.ShouldAllBe(c => c.Status == expected, $"{job} expected {expected}");
                return;
            }

            claims.Count(c => c.Status == ClaimStatus.Claimed).ShouldBe(1);
            var winner = Array.FindIndex(claims, c => c.Status == ClaimStatus.Claimed);
            (job.State, job.Attempt, job.Token, job.LeaseUntil, job.NotBefore) =
                (JobState.Running, job.Attempt + 1, leases[winner].Token, leases[winner].Until, null);
            claims[winner].Job!.Attempt.ShouldBe(job.Attempt);
            Event(job, claims[winner].Job!);
        }

        private async Task HeartbeatAsync()
        {
            var asked = _model.Jobs.Where(j => j.Token is not null || j.StaleTokens.Count > 0).Where(_ => _random.Next(3) == 0).Select(j => (Job: j, Token: AnyToken(j))).ToList();
            var until = Now.AddSeconds(15);
            var beat = await _store.HeartbeatAsync([.. asked.Select(a => (a.Job.Id, a.Token))], until, Token);

            beat.Lost.ShouldBe(asked.Where(a => a.Job.Token != a.Token).Select(a => a.Job.Id), ignoreOrder: true);
            beat.CancelRequested.ShouldBe(asked.Where(a => a.Job.Token == a.Token && a.Job.CancelRequested).Select(a => a.Job.Id), ignoreOrder: true);
            foreach (var (job, _) in asked.Where(a => a.Job.Token == a.Token))
            {
                job.LeaseUntil = until;
            }
        }

        private async Task ProgressAsync(JobModel.Entry job)
        {
            var token = AnyToken(job);
            var eventId = Math.Max(job.EventId, EventIds.Claimed(job.Attempt)) + 1;
            var stored = await _store.ProgressAsync(job.Id, token, new JobProgress(1, 2, 0.5), eventId, Token);
            stored.ShouldBe(job.Token is not null && job.Token == token);
            if (stored)
            {
                job.EventId = eventId;
            }
        }

        private async Task ApplyAsync(JobModel.Entry job, string token, JobOutcome outcome)
        {
            var applied = await _store.ApplyAsync(job.Id, token, outcome, Now, Token);
            if (job.Token is null || job.Token != token)
            {
                applied.ShouldBeNull();
                return;
            }

            job.Leave(outcome.State, Now, outcome.CountsAsFailure, outcome.RetryAt);
            Event(job, applied!);
        }

        private async Task CancelAsync(JobModel.Entry job)
        {
            var result = await _store.CancelAsync(job.Id, Now, Token);
            if (job.State.IsEnd())
            {
                result.Status.ShouldBe(CancelStatus.AlreadyEnded);
            }
            else if (job.State == JobState.Running)
            {
                result.Status.ShouldBe(CancelStatus.Requested);
                job.CancelRequested = true;
            }
            else
            {
                result.Status.ShouldBe(CancelStatus.Cancelled);
                job.Leave(JobState.Cancelled, Now);
                Event(job, result.Job!);
            }
        }

        /// <summary>A worker that was paused speaks again: it has its job back, or at least did not fail it.</summary>
        private async Task ReturnAsync()
        {
            if (_model.Jobs.Where(j => j.Lapsed.Count > 0).OrderBy(_ => _random.Next()).FirstOrDefault() is not { } job)
            {
                return;
            }

            var (token, attempt) = job.Lapsed[_random.Next(job.Lapsed.Count)];
            var free = job.State == JobState.Queued && job.Attempt == attempt && !_model.KeyBusy(job);
            var claimed = (await _store.GetAsync(job.Id, Token))! with { LeaseToken = token, Attempt = attempt, Worker = "w", StartedAt = Now };
            var back = await _store.ReturnAsync(claimed, Now.AddSeconds(15), Token);

            (back is not null).ShouldBe(free, $"{job}");
            if (!job.State.IsEnd())
            {
                job.Lapsed.Remove((token, attempt));
                job.Failures--;
            }

            if (back is not null)
            {
                (job.State, job.Token, job.LeaseUntil) = (JobState.Running, token, Now.AddSeconds(15));
                job.StaleTokens.Remove(token);
                Event(job, back);
            }
        }

        private async Task RecoverAsync()
        {
            var allLeases = _random.Next(4) == 0;
            var lost = _model.Jobs.Where(j => j.State == JobState.Running && (allLeases || j.LeaseUntil <= Now)).ToList();
            var overdue = _model.Jobs.Where(j => j.State == JobState.Queued && j.Attempt == 0 && j.Deadline <= Now).ToList();
            var changed = await _store.RecoverAsync(Now, _policy with { AllLeases = allLeases }, 10_000, Token);

            changed.Select(j => j.Id).ShouldBe(lost.Concat(overdue).Select(j => j.Id), ignoreOrder: true);
            foreach (var job in lost)
            {
                var final = job.Failures + 1 >= _policy.MaxAttempts;
                if (!final && !allLeases && !job.CancelRequested)
                {
                    job.Lapsed.Add((job.Token!, job.Attempt));
                }

                job.Leave(final ? JobState.Failed : JobState.Queued, Now, counts: true);
            }

            foreach (var job in overdue)
            {
                job.Leave(JobState.Expired, Now);
            }

            foreach (var record in changed)
            {
                Event(_model.Find(record.Id)!, record);
            }
        }

        private async Task PurgeAsync()
        {
            var due = _model.Jobs.Where(j => j.State.IsEnd() && !j.Purged && j.ExpiresAt <= Now).ToList();
            var purged = await _store.PurgeAsync(Now, 10_000, Token);
            purged.Select(j => j.Id).ShouldBe(due.Select(j => j.Id), ignoreOrder: true);
            due.ForEach(j => j.Purged = true);
        }

        private async Task CrashAsync()
        {
            _store = await _harness.CrashAsync(_store, _time, _random);
            await CompareAsync();
        }

        private async Task CompareAsync()
        {
            foreach (var job in _model.Jobs)
            {
                var read = (await _store.GetAsync(job.Id, Token)).ShouldNotBeNull($"{job.Id} is lost");
                (read.State, read.Attempt, read.Failures, read.LeaseToken, read.NotBefore, read.ExpiresAt, read.CancelRequested, read.Purged, read.EventId)
                    .ShouldBe((job.State, job.Attempt, job.Failures, job.Token, job.NotBefore, job.ExpiresAt, job.CancelRequested, job.Purged, job.EventId), job.ToString());
            }
        }

        private static void Event(JobModel.Entry job, JobRecord record)
        {
            record.State.ShouldBe(job.State, job.ToString());
            record.ExpiresAt.ShouldBe(record.State.IsEnd() ? record.EndedAt + JobModel.Retention : null, job.ToString());
            record.EventId.ShouldBeGreaterThan(job.EventId, job.ToString());
            job.EventId = record.EventId;
            job.Ends += record.State.IsEnd() ? 1 : 0;
        }

        private string AnyToken(JobModel.Entry job) =>
            job.Token is not null && _random.Next(4) > 0 ? job.Token
            : job.StaleTokens.Count > 0 ? job.StaleTokens[_random.Next(job.StaleTokens.Count)]
            : "never given";

        private JobOutcome AnyOutcome() => _random.Next(4) switch
        {
            0 => new JobOutcome(JobState.Queued) { RetryAt = Now.AddSeconds(_random.Next(10)), CountsAsFailure = true },
            1 => new JobOutcome(JobState.Queued),
            2 => new JobOutcome(JobState.Failed) { CountsAsFailure = true },
            _ => Success(),
        };

        private static JobOutcome Success() => new(JobState.Succeeded) { Result = "{}"u8.ToArray() };

        private T Pick<T>(params T[] choices) => choices[_random.Next(choices.Length)];
    }
}
