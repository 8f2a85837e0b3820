# frozen_string_literal: true

# The peer Sidekiq. It obeys commands of `run` on the standard input; the arguments are a socket of
# Redis and a file with a document in each line.

require "json"
require "sidekiq"
require "sidekiq/api"
require "sidekiq/launcher"

IDLE_CONCURRENCY = 16

$stdout.sync = true
socket, file = ARGV
DOCUMENTS = File.readlines(file).map { |line| JSON.parse(line) }
Sidekiq.logger.level = Logger::WARN
# Sidekiq 6 calls the client of Redis in ways that it is going to drop.
Redis.silence_deprecations = true
# One connection for each thread of a worker, and some for its other tasks.
Sidekiq.redis = { url: "unix://#{socket}", size: 110 }

# Nothing periodic may happen while instructions are counted.
if ENV["PEER_COUNTED"]
  Sidekiq.options[:poll_interval_average] = 3600
  Sidekiq::Launcher.send(:remove_const, :BEAT_PAUSE)
  Sidekiq::Launcher::BEAT_PAUSE = 3600
end

# A job that does nothing but tell that it began.
class Provision
  include Sidekiq::Job

  BEGUN = Queue.new

  def perform(_document)
    BEGUN << now
  end
end

def now = Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond)

def start(concurrency)
  options = Sidekiq.options.merge(concurrency: concurrency, queues: ["default"])
  Sidekiq::Launcher.new(options).tap(&:run)
end

# Returns the milliseconds from before the call to enqueue until the handler is called. The first
# one connects and is not counted.
def latencies(count)
  values = DOCUMENTS.first(count + 1).map do |document|
    sleep 0.01
    before = now
    Provision.perform_async(document)
    Provision::BEGUN.pop - before
  end
  values.drop(1)
end

Sidekiq.redis(&:ping)
puts "ready"
while (line = $stdin.gets)
  command, *numbers = line.split
  count, concurrency = numbers.map(&:to_i)
  worker = nil
  answer = nil
  case command
  when "one"
    DOCUMENTS.first(count).each { |document| Provision.perform_async(document) }
  when "many"
    DOCUMENTS.first(count).each_slice(50) do |documents|
      Sidekiq::Client.push_bulk("class" => Provision, "args" => documents.map { |one| [one] })
    end
  when "process"
    worker = start(concurrency)
    count.times { Provision::BEGUN.pop }
  when "latency"
    worker = start(IDLE_CONCURRENCY)
    answer = JSON.generate(latencies(count))
  end
  puts "done #{answer}"
  worker&.stop
  puts "ready"
end
