package pool

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fake is a member that boots when it is told to.
type fake struct {
	ready, done chan struct{}
	err         error
	once        sync.Once
}

func (f *fake) Ready() <-chan struct{} { return f.ready }
func (f *fake) Done() <-chan struct{}  { return f.done }
func (f *fake) StartErr() error        { return f.err }
func (f *fake) Close()                 { f.once.Do(func() { close(f.done) }) }

// factory boots fakes, each in a second, and keeps count.
type factory struct {
	boots, most atomic.Int32
	now         atomic.Int32
	broken      atomic.Bool
	all         sync.Map
}

var errBroken = errors.New("broken")

func (f *factory) boot() (*fake, error) {
	f.boots.Add(1)
	m := &fake{ready: make(chan struct{}), done: make(chan struct{})}
	f.all.Store(m, nil)
	now := f.now.Add(1)
	for most := f.most.Load(); now > most && !f.most.CompareAndSwap(most, now); most = f.most.Load() {
	}
	go func() {
		time.Sleep(time.Second)
		f.now.Add(-1)
		if f.broken.Load() {
			m.err = errBroken
			m.Close()
		}
		close(m.ready)
	}()
	return m, nil
}

func newPool(t *testing.T, o Options) (*Pool[*fake], *factory) {
	t.Helper()
	if o.Boots == 0 {
		o.Boots = 2
	}
	o.First, o.Longest = time.Second, 8*time.Second
	f := &factory{}
	p := New(o, f.boot)
	t.Cleanup(func() {
		p.Close()
		<-p.Done()
		f.all.Range(func(m, _ any) bool {
			m.(*fake).Close()
			return true
		})
	})
	return p, f
}

func TestFillsItselfWithBoundedBoots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f := newPool(t, Options{Size: 5})
		assert.Equal(t, 2, p.Info().Booting)
		<-p.Ready()
		require.NoError(t, p.StartErr())
		assert.EqualValues(t, 2, f.most.Load())
		assert.Equal(t, Info{Size: 5, Ready: 5, Booted: 5}, p.Info())
	})
}

func TestHandsOutOnceAndRefills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPool(t, Options{Size: 2})
		<-p.Ready()
		begin := time.Now()
		a, err := p.Get(t.Context())
		require.NoError(t, err)
		b, err := p.Get(t.Context())
		require.NoError(t, err)
		assert.NotSame(t, a, b)
		assert.Zero(t, time.Since(begin), "at once")
		c, err := p.Get(t.Context())
		require.NoError(t, err)
		assert.Equal(t, time.Second, time.Since(begin), "as long as a boot")
		assert.NotSame(t, c, a)
		time.Sleep(2 * time.Second)
		assert.Equal(t, Info{Size: 2, Ready: 2, Out: 3, Taken: 3, AtOnce: 2, Booted: 5}, p.Info())
		for _, m := range []*fake{a, b, c} {
			m.Close()
		}
		synctest.Wait()
		assert.Zero(t, p.Info().Out)
	})
}

func TestDeadMembersAreReplacedAndNotHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPool(t, Options{Size: 2})
		<-p.Ready()
		p.mu.Lock()
		dead := p.ready[0]
		p.mu.Unlock()
		dead.Close()
		synctest.Wait()
		m, err := p.Get(t.Context())
		require.NoError(t, err)
		assert.NotSame(t, dead, m)
		time.Sleep(2 * time.Second)
		assert.Equal(t, 2, p.Info().Ready)
		assert.EqualValues(t, 1, p.Info().Lost)
	})
}

// Who waits is told; the rest is tried again after growing pauses.
func TestFailedBoots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f := newPool(t, Options{Size: 1})
		<-p.Ready()
		f.broken.Store(true)
		taken, err := p.Get(t.Context())
		require.NoError(t, err)
		taken.Close()
		time.Sleep(time.Second)
		synctest.Wait()
		assert.EqualValues(t, 1, p.Info().Failed)
		assert.Equal(t, errBroken, p.Info().LastErr)
		begin := time.Now()
		_, err = p.Get(t.Context())
		assert.Equal(t, errBroken, err)
		assert.LessOrEqual(t, time.Since(begin), 2*time.Second, "a try of its own, and one that the pause has ended for")
		boots := f.boots.Load()
		time.Sleep(time.Minute)
		assert.LessOrEqual(t, f.boots.Load()-boots, int32(10), "pauses of 2, 4, 8, 8, … seconds")
		assert.GreaterOrEqual(t, f.boots.Load()-boots, int32(6))
		f.broken.Store(false)
		time.Sleep(10 * time.Second)
		assert.Equal(t, 1, p.Info().Ready)
		assert.Zero(t, p.Info().InRow)
		assert.Equal(t, errBroken, p.Info().LastErr, "it can be asked for still")
		assert.NoError(t, p.StartErr(), "it was full once")
	})
}

func TestFirstFailureIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{}
		f.broken.Store(true)
		p := New(Options{Size: 3, Boots: 1, First: time.Second, Longest: time.Second}, f.boot)
		<-p.Ready()
		assert.Equal(t, errBroken, p.StartErr())
		p.Close()
		<-p.Done()
	})
}

func TestShrinksWhenNobodyComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f := newPool(t, Options{Size: 4, Idle: 1, Shrink: time.Minute})
		<-p.Ready()
		time.Sleep(59 * time.Second)
		assert.Equal(t, 4, p.Info().Ready)
		time.Sleep(2 * time.Second)
		assert.Equal(t, 1, p.Info().Ready)
		assert.True(t, p.Info().Shrunken)
		time.Sleep(time.Hour)
		assert.EqualValues(t, 4, f.boots.Load(), "nothing happens while nobody comes")
		assert.Zero(t, p.Info().Lost)
		_, err := p.Get(t.Context())
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		assert.Equal(t, 4, p.Info().Ready)
	})
}

// A pool that takes longer to fill than nobody may stay away is full once, too.
func TestFillsBeforeItShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPool(t, Options{Size: 1, Shrink: time.Second / 10})
		<-p.Ready()
		require.NoError(t, p.StartErr())
		time.Sleep(time.Second)
		assert.True(t, p.Info().Shrunken)
	})
}

// It counts as full when others have taken what it booted.
func TestFullWhenAllWereTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPool(t, Options{Size: 1, Max: 1})
		_, err := p.Get(t.Context())
		require.NoError(t, err)
		<-p.Ready()
		assert.Zero(t, p.Info().Ready)
	})
}

func TestResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPool(t, Options{Size: 1})
		<-p.Ready()
		require.NoError(t, p.Resize(6))
		time.Sleep(5 * time.Second)
		assert.Equal(t, 6, p.Info().Ready)
		require.NoError(t, p.Resize(0))
		assert.Zero(t, p.Info().Ready)
		m, err := p.Get(t.Context())
		require.NoError(t, err, "an empty pool boots for who waits")
		m.Close()
		time.Sleep(5 * time.Second)
		assert.Zero(t, p.Info().Ready)
		p.Close()
		assert.Error(t, p.Resize(1))
	})
}

func TestMaxCountsThoseThatWereHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f := newPool(t, Options{Size: 2, Max: 2})
		<-p.Ready()
		a, _ := p.Get(t.Context())
		_, err := p.Get(t.Context())
		require.NoError(t, err)
		time.Sleep(time.Minute)
		assert.EqualValues(t, 2, f.boots.Load())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = p.Get(ctx)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		time.AfterFunc(time.Second, a.Close)
		_, err = p.Get(t.Context())
		assert.NoError(t, err)
	})
}

func TestPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f := newPool(t, Options{Size: 1, Max: 1})
		m, err := p.Get(t.Context())
		require.NoError(t, err)
		time.AfterFunc(time.Second, func() { p.Put(m) })
		again, err := p.Get(t.Context())
		require.NoError(t, err)
		assert.Same(t, m, again)
		assert.EqualValues(t, 1, p.Info().Taken)
		again.Close()
		synctest.Wait()
		p.Put(again) // it ended meanwhile
		time.Sleep(2 * time.Second)
		assert.Equal(t, 1, p.Info().Ready)
		assert.EqualValues(t, 2, f.boots.Load())
	})
}

func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f := newPool(t, Options{Size: 3, Boots: 1, Shrink: time.Hour})
		time.Sleep(1500 * time.Millisecond) // one is ready, one boots
		out, err := p.Get(t.Context())
		require.NoError(t, err)
		errs := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := p.Get(context.Background())
				errs <- err
			}()
		}
		synctest.Wait()
		p.Close()
		p.Close()
		<-p.Done()
		for range 3 {
			assert.Equal(t, errClosed, <-errs)
		}
		boots := f.boots.Load()
		_, err = p.Get(t.Context())
		assert.Equal(t, errClosed, err)
		time.Sleep(time.Minute)
		assert.Equal(t, boots, f.boots.Load())
		select {
		case <-out.Done():
			t.Error("what was handed out is not the pool's any more")
		default:
		}
		p.Put(out) // unless it is given back
		<-out.Done()
	})
}

// Whatever comes together: each member goes to one, and nobody waits for ever.
func TestManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPool(t, Options{Size: 4, Boots: 4, Max: 16})
		var seen sync.Map
		var group sync.WaitGroup
		for range 64 {
			group.Go(func() {
				for round := range 20 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(round)*time.Second)
					m, err := p.Get(ctx)
					cancel()
					if err != nil {
						continue
					}
					if round%5 == 0 {
						p.Put(m)
						continue
					}
					if _, twice := seen.LoadOrStore(m, true); twice {
						t.Error("handed out twice")
					}
					time.Sleep(time.Second / 10)
					m.Close()
				}
			})
		}
		group.Wait()
		time.Sleep(10 * time.Second)
		i := p.Info()
		assert.Equal(t, 4, i.Ready)
		assert.Zero(t, i.Out+i.Waiting+i.Booting)
	})
}
