// Preloaded into Ardour 7.3: lays out the heap, or leaves out an update of latencies, as it happens by chance.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <new>
#include <pthread.h>

static int place (const char* name) { return getenv (name) ? atoi (getenv (name)) : 0; }

void* operator new[] (std::size_t size)
{
	static const int block = place ("BLOCK_AT"), ring = place ("RING_AT");
	char* memory = (char*) malloc (size + 256);
	if (!memory) {
		throw std::bad_alloc ();
	}
	char* begin = (char*) (((std::uintptr_t) memory + 127) & ~(std::uintptr_t) 63);
	begin += size == 4096 ? block : size == 8192 ? ring : 0; // blocks of 1024 samples, rings of 2048
	((void**) begin)[-1] = memory;
	memset (begin + size, 0x70, 64); // 3e29
	return begin;
}

void operator delete[] (void* begin) noexcept
{
	if (begin) {
		free (((void**) begin)[-1]);
	}
}

void operator delete[] (void* begin, std::size_t) noexcept { operator delete[] (begin); }

namespace ARDOUR {
class Session {
public:
	void update_latency (bool);
};

void Session::update_latency (bool playback)
{
	static auto real = (void (*) (Session*, bool)) dlsym (RTLD_NEXT, "_ZN6ARDOUR7Session14update_latencyEb");
	char thread[32] = "";
	pthread_getname_np (pthread_self (), thread, sizeof thread);
	if (!getenv ("NO_FIRST_UPDATE") || !strcmp (thread, "audioengine")) {
		real (this, playback);
	}
}
}
