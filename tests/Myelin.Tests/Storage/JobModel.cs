using Myelin.Jobs.Store;
using Myelin.Protocol;

namespace Myelin.Tests.Storage;

/// <summary>What the store should hold, told in the plainest way: a list, scanned for every question.</summary>
internal sealed class JobModel
{
    /// <summary>What the stores under test are opened with.</summary>
    public static readonly TimeSpan Retention = TimeSpan.FromMinutes(2);

    public List<Entry> Jobs { get; } = [];

    public Entry? Find(string id) => Jobs.FirstOrDefault(j => j.Id == id);

    public bool KeyBusy(Entry job) => job.Key is not null && Jobs.Any(j => j.Tenant == job.Tenant && j.Key == job.Key && j.Order < job.Order && !j.State.IsEnd());

    public int Depth(string model) => Jobs.Count(j => j.Model == model && j.State == JobState.Queued);

    internal sealed record Entry(string Id, int Order, string Tenant, string Model, string? Key, DateTimeOffset? Deadline)
    {
        public JobState State { get; set; }

        public int Attempt { get; set; }

        public int Failures { get; set; }

        public string? Token { get; set; }

        /// <summary>Attempts that were silent for too long and are charged, with their numbers.</summary>
        public List<(string Token, int Attempt)> Lapsed { get; } = [];

        public DateTimeOffset LeaseUntil { get; set; }

        public DateTimeOffset? NotBefore { get; set; }

        public DateTimeOffset? ExpiresAt { get; set; }

        public bool CancelRequested { get; set; }

        public bool Purged { get; set; }

        /// <summary>Ids seen in results; must grow.</summary>
        public long EventId { get; set; }

        /// <summary>Times that the store said the job ended.</summary>
        public int Ends { get; set; }

        /// <summary>Tokens of attempts that are over.</summary>
        public List<string> StaleTokens { get; } = [];

        public ClaimStatus Claim(DateTimeOffset now, bool keyBusy) =>
            State != JobState.Queued || (Attempt == 0 && Deadline <= now) ? ClaimStatus.Gone
            : NotBefore > now ? ClaimStatus.NotYet
            : keyBusy ? ClaimStatus.KeyBusy
            : ClaimStatus.Claimed;

        /// <summary>The rules in words: a cancel that was answered wins, and nothing counts against it; who ended is kept for the retention.</summary>
        public void Leave(JobState to, DateTimeOffset now, bool counts = false, DateTimeOffset? retryAt = null)
        {
            if (Token is not null)
            {
                StaleTokens.Add(Token);
            }

            Token = null;
            State = CancelRequested ? JobState.Cancelled : to;
            Failures += counts && !CancelRequested ? 1 : 0;
            NotBefore = State == JobState.Queued ? retryAt : null;
            ExpiresAt = State == JobState.Queued ? null : now + Retention;
        }
    }
}
